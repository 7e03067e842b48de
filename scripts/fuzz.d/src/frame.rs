//! Frames and the messages in them: link, enrolment and node.
//!
//! The first byte says how the stream is cut. However it is cut, the same frames come out; what is a
//! message comes back from its own frame.

use mamba_wire::{
    frame::{Decoder, Frame, FrameError},
    link::{enrol, v1},
    node,
};

/// See the module's documentation.
pub fn check(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = decode(&[stream]);
    let parts: Vec<&[u8]> = stream.chunks(usize::from(cut) + 1).collect();
    assert_eq!(decode(&parts), whole);
    let (frames, _) = whole;
    let mut again = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut again));
    assert!(stream.starts_with(&again), "frames are sent as they came");
    for frame in &frames {
        messages(frame);
    }
}

fn decode(parts: &[&[u8]]) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for part in parts {
        decoder.push(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(err) => return (frames, Some(err)),
            }
        }
    }
    (frames, None)
}

macro_rules! come_back {
    ($frame:expr, $($type:ty),+) => {$(
        if let Ok(message) = <$type>::from_frame($frame) {
            let sent = message.to_frame().unwrap();
            assert_eq!(<$type>::from_frame(&sent).unwrap(), message);
        }
    )+};
}

fn messages(frame: &Frame) {
    if let Ok(Some(message)) = v1::EdgeFrame::from_frame(frame) {
        let sent = message.to_frame().unwrap();
        assert_eq!(v1::EdgeFrame::from_frame(&sent).unwrap(), Some(message));
    }
    if let Ok(Some(message)) = v1::HubFrame::from_frame(frame) {
        let sent = message.to_frame().unwrap();
        assert_eq!(v1::HubFrame::from_frame(&sent).unwrap(), Some(message));
    }
    come_back!(frame, enrol::EnrolAsk, enrol::EnrolAnswer);
    come_back!(frame, node::Ask, node::NodeReply);
}

// The console's screen: xterm, which shows text and never runs it.
import { Terminal } from "@xterm/xterm";
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";

// Lines kept above the screen.
const LINES_MAX = 10_000;

export function mount(element) {
  const terminal = new Terminal({
    convertEol: true,
    cursorBlink: false,
    cursorInactiveStyle: "none",
    disableStdin: true,
    fontFamily: getComputedStyle(element).fontFamily,
    fontSize: 13,
    lineHeight: 1.25,
    // A game may print a link; nobody is to be led away by it.
    linkHandler: { activate() {} },
    scrollback: LINES_MAX,
    screenReaderMode: true,
    theme: { background: "#0b0d12", foreground: "#d7dce5", cursor: "#0b0d12", selectionBackground: "#3b4a6b" },
  });
  // Nothing is typed here, so that Tab leads on as everywhere: xterm would hold it for ever.
  terminal.attachCustomKeyEventHandler((event) => event.key !== "Tab");
  const fit = new FitAddon();
  const search = new SearchAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(search);
  terminal.open(element);
  const observer = new ResizeObserver(() => fit.fit());
  observer.observe(element);
  fit.fit();
  let waiting = 0;
  return {
    // Shown in pieces of some milliseconds; `is_busy` until all of it is.
    write(text) {
      waiting += 1;
      terminal.write(text, () => (waiting -= 1));
    },
    is_busy: () => waiting > 0,
    clear() {
      terminal.clearSelection();
      terminal.clear();
    },
    // What is marked, or all that is kept.
    text() {
      if (terminal.hasSelection()) return terminal.getSelection();
      terminal.selectAll();
      const all = terminal.getSelection();
      terminal.clearSelection();
      return all.trimEnd();
    },
    find: (text, backwards) => (backwards ? search.findPrevious(text) : search.findNext(text)),
    dispose: () => {
      observer.disconnect();
      terminal.dispose();
    },
  };
}

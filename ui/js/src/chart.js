// Charts: uPlot, which draws on a canvas. Colours are those of the page, also after the theme changed.
import uPlot from "uplot";

const HEIGHT = 132;
const AXIS = 62;

// Draws in `element`, as bars or as a line. `label` makes a text of a value. Returns the chart.
export function mount(element, isBars, label) {
  const box = document.createElement("div");
  const readout = document.createElement("p");
  readout.className = "readout";
  element.append(box, readout);
  // Style sheets set these on the element from the page's colours; here they are resolved.
  const colour = (name) => () => getComputedStyle(element)[name];
  const [line, grid, text] = [colour("color"), colour("borderTopColor"), colour("caretColor")];
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px sans-serif" };
  const time = (at) => new Date(at * 1000).toLocaleString("en-GB", isBars ?
    { dateStyle: "short", timeStyle: "short" } : { timeStyle: "medium" });
  const chart = new uPlot({
    width: Math.max(element.clientWidth, 100),
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, size: 26, space: 70, values: times },
      { ...axis, size: AXIS, space: 34, values: (_, ticks) => ticks.map((value) => label(value)) },
    ],
    series: [{}, {
      stroke: line,
      width: isBars ? 0 : 1.5,
      fill: isBars ? line : undefined,
      // What is not known is not drawn.
      spanGaps: false,
      points: { show: isBars ? false : undefined, size: 3, fill: line },
      paths: isBars ? uPlot.paths.bars({ size: [0.8, 60], align: 1 }) : undefined,
    }],
    hooks: { setCursor: [({ cursor, data }) => {
      const value = cursor.idx == null ? null : data[1][cursor.idx];
      readout.textContent = value == null ? "" : `${time(data[0][cursor.idx])} · ${label(value)}`;
    }] },
  }, [[], []], box);
  const fit = new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 100), height: HEIGHT }));
  fit.observe(element);
  const redraw = () => chart.redraw(false);
  const theme = new MutationObserver(redraw);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", redraw);
  return {
    set(at, values, from, to) {
      chart.setData([Array.from(at), Array.from(values, (it) => (Number.isNaN(it) ? null : it))], false);
      chart.setScale("x", { min: from, max: to });
    },
    dispose() {
      fit.disconnect();
      theme.disconnect();
      system.removeEventListener("change", redraw);
      chart.destroy();
      box.remove();
      readout.remove();
    },
  };
}

// Names of ticks: of days when they are that far apart, else of the time of day.
function times(_, ticks, __, ___, step) {
  const format = step >= 86_400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" };
  return ticks.map((at) => new Date(at * 1000).toLocaleString("en-GB", format));
}

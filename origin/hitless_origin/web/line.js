// The timeline of who was on air: a strip of the window, with handovers, fallbacks and gaps.

import {drawn, element} from "./dom.js"

const HEIGHT = 88
const TOP = 26
const BAR = 30
const SHOWN_MS_MAX = 10 * 60 * 1000
const COLOURS = 6
const LETTER = 8 // pixels, of a name in its bar

export function drawLine(place, key, news, nowMs) {
  const {report, segmentMs} = news
  place.replaceChildren()
  key.replaceChildren()
  if (report.lastSegment === null) return
  const width = Math.max(280, place.clientWidth)
  const endMs = (report.lastSegment + 1) * segmentMs
  const beginMs = Math.max(endMs - SHOWN_MS_MAX, earliest(news) * segmentMs)
  const x = (ms) => ((Math.max(beginMs, Math.min(endMs, ms)) - beginMs) / (endMs - beginMs)) * width
  const runs = runsOf(report, beginMs, endMs, segmentMs)
  const colours = colour(report)
  const image = drawn("svg", {viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", preserveAspectRatio: "none"})
  image.append(drawn("title", {}, spoken(runs, report)))
  for (const tick of ticks(beginMs, endMs, width)) {
    image.append(
      drawn("line", {class: "tick", x1: x(tick), x2: x(tick), y1: TOP - 6, y2: TOP + BAR + 8}),
      drawn("text", {x: x(tick), y: HEIGHT - 8, "text-anchor": anchor(x(tick), width)}, clock(tick)),
    )
  }
  for (const run of runs) {
    image.append(drawn("rect", {
      class: `run${colours.get(run.encoder)}`, x: x(run.beginMs), y: TOP, height: BAR,
      width: Math.max(1, x(run.endMs) - x(run.beginMs)),
    }))
    if (x(run.endMs) - x(run.beginMs) > (run.encoder.length + 2) * LETTER) {
      image.append(drawn("text", {class: "name", x: x(run.beginMs) + LETTER, y: TOP + BAR / 2 + 4}, run.encoder))
    }
  }
  for (const [first, last] of news.gaps) {
    const at = x(first * segmentMs)
    image.append(drawn("rect", {
      class: "gap", x: at, y: TOP - 4, height: BAR + 8,
      width: Math.max(3, x((last + 1) * segmentMs) - at),
    }))
  }
  for (const each of report.switches) {
    const ms = each.segment * segmentMs
    if (ms < beginMs) continue
    image.append(drawn("line", {class: "cut", x1: x(ms), x2: x(ms), y1: TOP - 8, y2: TOP + BAR + 4}))
    if (each.fallback) image.append(drawn("path", {class: "mark", d: `M${x(ms)} ${TOP - 6}l-6 -12h12z`}))
  }
  place.append(image)
  const square = (kind, shape) => drawn("svg", {viewBox: "0 0 10 10", "aria-hidden": "true"}, shape ?? drawn("rect", {class: kind, width: 10, height: 10}))
  const names = [...new Set(runs.map((run) => run.encoder))]
  key.append(...names.map((name) => element("span", {}, square(`run${colours.get(name)}`), name)))
  if (report.switches.some((each) => each.fallback)) {
    key.append(element("span", {}, square("", drawn("path", {class: "mark", d: "M0 0h10L5 10z"})), "fallback"))
  }
  if (news.gaps.length) key.append(element("span", {}, square("gap"), "gap"))
}

function earliest(news) {
  return Math.min(news.report.lastSegment, ...news.gaps.map(([first]) => first), news.report.firstSegment ?? Infinity)
}

function runsOf(report, beginMs, endMs, segmentMs) {
  const cuts = report.switches.filter((each) => each.segment * segmentMs > beginMs)
  const runs = []
  let from = beginMs
  for (const cut of cuts) {
    runs.push({encoder: cut.fromEncoder, beginMs: from, endMs: cut.segment * segmentMs})
    from = cut.segment * segmentMs
  }
  runs.push({encoder: report.selectedEncoder ?? "–", beginMs: from, endMs})
  return runs.filter((run) => run.endMs > run.beginMs)
}

// Neighbours in time never share a colour: encoders are counted in the order in which they came.
function colour(report) {
  const names = [...report.switches.flatMap((each) => [each.fromEncoder, each.toEncoder]), report.selectedEncoder ?? "–"]
  return new Map([...new Set(names)].map((name, number) => [name, number % COLOURS]))
}

function ticks(beginMs, endMs, width) {
  const steps = [5, 10, 15, 30, 60, 120, 300].map((s) => s * 1000)
  const stepMs = steps.find((step) => ((endMs - beginMs) / step) * 90 < width) ?? steps.at(-1)
  const found = []
  for (let ms = Math.ceil(beginMs / stepMs) * stepMs; ms <= endMs; ms += stepMs) found.push(ms)
  return found
}

const anchor = (at, width) => (at < 30 ? "start" : at > width - 30 ? "end" : "middle")

export const clock = (ms) => new Date(ms).toLocaleTimeString([], {hour12: false})

const spoken = (runs, report) =>
  `On air one after the other: ${runs.map((run) => run.encoder).join(", ")}. ${report.gaps} segments missing.`

// The handovers, the newest first: what was decided, and how viewers fared.

import {badge, element, plural, seconds} from "./dom.js"
import {clock} from "./line.js"

let drawnAs = ""
const opened = new Map() // by segment: what somebody opened or closed stays so

export function drawSwitches(place, none, news) {
  const text = JSON.stringify([news.report.switches, news.around])
  if (text === drawnAs) return
  drawnAs = text
  none.hidden = news.report.switches.length > 0
  place.replaceChildren(...[...news.report.switches].reverse().map((each) => one(each, news)))
}

function one(each, news) {
  const around = news.around[each.segment]
  return element(
    "li",
    {},
    element("p", {class: "what"},
      element("time", {datetime: new Date(each.segment * news.segmentMs).toISOString()}, clock(each.segment * news.segmentMs)),
      element("b", {}, each.fromEncoder === each.toEncoder
        ? `${each.toEncoder} goes on` : `${each.fromEncoder} → ${each.toEncoder}`),
      ...badges(each, around)),
    element("p", {class: "how"},
      element("span", {}, `frame ${each.frame}`),
      element("span", {}, `segment ${each.segment}`),
      element("span", {}, `term ${each.fromPriority} → ${each.toPriority}`),
      element("span", {}, plural(each.overlapFrames, "frame") + " delivered by both"),
      verdicts(around)),
    viewers(each, around?.viewers, each === news.report.switches.at(-1)),
  )
}

function badges(each, around) {
  const found = []
  if (each.gapFrames) found.push(badge(`${plural(each.gapFrames, "frame")} missing`, "bad"))
  else found.push(badge("no frame missing", "good"))
  if (each.fallback) found.push(badge("fallback", "warn"))
  if (each.discontinuity) found.push(badge("declared discontinuity", "warn"))
  const stalls = around?.viewers?.during.stalls ?? 0
  if (stalls) found.push(badge(`${plural(stalls, "stall")} during it`, "bad"))
  return found
}

function verdicts(around) {
  const found = around?.verdicts
  if (!found || !(found.identical + found.interchangeable)) return null
  const said = Object.entries(found).filter(([, number]) => number).map(([name, number]) => `${number} ${name}`)
  return element("span", {}, `compared: ${said.join(", ")}`)
}

function viewers(each, phases, isNewest) {
  if (!phases) return null
  const moods = Object.values(phases)
  const stalls = phases.during.stalls
  const most = Math.max(...moods.map((mood) => mood.viewers))
  const head = ["", "viewers", "least buffer", "median", "stalls"]
  const details = element("details", {class: "seen"},
    element("summary", {}, `${plural(most, "viewer")}, ${plural(stalls, "stall")} during it`),
    element("table", {class: "moods"},
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", {scope: "col"}, text)))),
      element("tbody", {}, ...Object.entries(phases).map(([phase, mood]) => element("tr", {},
        element("th", {scope: "row"}, phase),
        element("td", {}, String(mood.viewers)),
        element("td", {}, seconds(mood.bufferMsMin)),
        element("td", {}, seconds(mood.bufferMsMedian)),
        element("td", {class: mood.stalls ? "bad" : ""}, String(mood.stalls)))))))
  details.open = opened.get(each.segment) ?? (isNewest || stalls > 0)
  details.querySelector("summary").addEventListener("click", () => opened.set(each.segment, !details.open))
  return details
}

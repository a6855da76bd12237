// One channel: facts, picture, timeline, handovers, encoders.

import {BADGES, badge, byId, cell, element, plural, seconds, show} from "./dom.js"
import {drawLine} from "./line.js"
import {picture} from "./picture.js"
import {listen, originNow} from "./stream.js"
import {drawSwitches} from "./switches.js"

const [, , namespace, name] = location.pathname.split("/")
const live = `/live/${namespace}/${name}`
const facts = new Map()
let known = null

document.title = `${namespace}/${name} · Hitless origin`
show(byId("name"), `${namespace}/${name}`)
byId("hls").href = `${live}/master.m3u8`
byId("dash").href = `${live}/manifest.mpd`
byId("report").href = `/api/v1/channels/${namespace}/${name}?comparison=1`

function fact(label, text, kind = "") {
  if (!facts.has(label)) {
    const value = element("dd")
    byId("facts").append(element("dt", {}, label), value)
    facts.set(label, value)
  }
  const value = facts.get(label)
  show(value, text)
  value.className = kind
}

function drawFacts() {
  const {report, viewers} = known
  fact("On air", report.selectedEncoder ?? "–")
  fact("Term", String(report.selectedPriority))
  fact("Segment", report.lastSegment === null ? "–" : String(report.lastSegment))
  const latencyMs = playing.latencyMs(originNow())
  fact("Glass to here", latencyMs === null ? "–" : `${seconds(latencyMs)} behind`)
  fact("Fallbacks", String(report.fallbacks), report.fallbacks ? "warn" : "")
  fact("Gaps", plural(report.gaps, "segment"), report.gaps ? "bad" : "")
  fact("Identical", plural(report.comparison.identical, "track segment"))
  fact("Interchangeable", plural(report.comparison.interchangeable, "track segment"))
  fact("Mismatches", String(report.mismatches), report.mismatches ? "warn" : "")
  if (report.comparison.newestMismatch) fact("Newest", report.comparison.newestMismatch, "warn")
  fact("Viewers", viewers.viewers ? String(viewers.viewers) : "none that tell")
  fact("Their buffer", viewers.bufferMsMin === null ? "–"
    : `least ${seconds(viewers.bufferMsMin)}, median ${seconds(viewers.bufferMsMedian)}`)
  fact("Stalls", String(viewers.stalls), viewers.stalls ? "bad" : "")
}

function drawInputs() {
  byId("inputs").replaceChildren(...known.report.inputs.map((input) => element(
    "tr",
    {},
    element("th", {scope: "row"}, input.encoder,
      input.encoder === known.report.selectedEncoder ? " " : null,
      input.encoder === known.report.selectedEncoder ? badge("on air", "good") : null),
    cell("Priority", String(input.priority)),
    cell("Newest segment", String(input.lastSegment)),
    cell("Last push", ago(originNow() - input.lastPushUs / 1000), ""),
  )))
}

function ago(ms) {
  const whole = Math.max(0, Math.round(ms / 1000))
  if (whole < 90) return `${whole} s ago`
  return whole < 5400 ? `${Math.round(whole / 60)} min ago` : `${Math.round(whole / 3600)} h ago`
}

function draw(news) {
  known = news
  byId("absent").hidden = news !== null
  byId("shown").hidden = news === null
  if (news === null) return
  const state = byId("state")
  show(state, news.state)
  state.className = `badge ${BADGES[news.state]}`
  if (news.state !== "waiting") playing.start()
  drawFacts()
  drawInputs()
  drawLine(byId("line"), byId("key"), news, originNow())
  drawSwitches(byId("switches"), byId("none"), news)
}

const playing = picture(byId("video"), byId("told"), `${live}/master.m3u8`)
listen(`/api/v1/channels/${namespace}/${name}/events`, {channel: draw})
setInterval(() => { if (known) drawFacts() }, 1000)

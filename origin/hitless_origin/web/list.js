// The list of channels.

import {BADGES, badge, byId, cell, count, element, plural, seconds, show} from "./dom.js"
import {listen} from "./stream.js"

const SHOWN_MAX = 500
const rows = new Map()

function line(row) {
  const [namespace, name] = row.channel.split("/")
  const viewers = row.viewers
  return element(
    "tr",
    {},
    element("th", {scope: "row"}, element("a", {href: `/channels/${namespace}/${name}`}, row.channel)),
    element("td", {"data-label": "State"}, badge(row.state, BADGES[row.state])),
    cell("On air", row.encoder ?? "–", ""),
    cell("Term", String(row.term)),
    cell("Switches", String(row.handovers)),
    count("Fallbacks", row.fallbacks, "warn"),
    count("Gaps", row.gaps, "bad"),
    count("Mismatches", row.mismatches, "warn"),
    cell("Viewers", String(viewers.viewers)),
    cell("Buffer", seconds(viewers.bufferMsMedian)),
    count("Stalls", viewers.stalls, "bad"),
  )
}

function draw() {
  const wanted = byId("find").value.trim().toLowerCase()
  const found = [...rows.values()].filter((row) => row.channel.includes(wanted))
  found.sort((a, b) => (a.channel < b.channel ? -1 : 1))
  const focused = document.activeElement?.getAttribute?.("href")
  byId("rows").replaceChildren(...found.slice(0, SHOWN_MAX).map(line))
  if (focused) byId("rows").querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus()
  byId("empty").hidden = rows.size > 0
  byId("table").hidden = rows.size === 0
  byId("search").hidden = rows.size < 8
  byId("more").hidden = found.length <= SHOWN_MAX
  show(byId("more"), `${found.length - SHOWN_MAX} more: find them by name`)
  show(byId("count"), rows.size ? plural(rows.size, "channel") : "")
}

byId("find").addEventListener("input", draw)
listen("/api/v1/events", {
  rows: (news) => {
    for (const name of news.gone) rows.delete(name)
    for (const row of news.rows) rows.set(row.channel, row)
    draw()
  },
})

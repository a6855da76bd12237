// The origin's events, with a connection that comes back, and the origin's clock.

import {byId, show} from "./dom.js"

const AGAIN_MS = 10000
let aheadMs = 0

// What the origin's clock shows now; glass-to-glass times are measured by it.
export const originNow = () => Date.now() + aheadMs

// A page that nobody sees takes nothing: a browser has six connections to the origin, for all pages.
export function whileSeen(begin, end) {
  document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()))
  if (!document.hidden) begin()
}

export function listen(url, handlers) {
  let source = null
  const end = () => { source?.close(); source = null }
  const begin = () => {
    end()
    source = opened(url, handlers, (refused) => {
      setTimeout(() => { if (source === refused) begin() }, AGAIN_MS)
    })
  }
  whileSeen(begin, end)
}

function opened(url, handlers, again) {
  const source = new EventSource(url)
  const link = byId("link")
  const say = (text, kind) => {
    show(link, text)
    link.className = `link ${kind}`
  }
  source.addEventListener("open", () => say("live", "on"))
  source.addEventListener("error", () => {
    const refused = source.readyState === EventSource.CLOSED
    say(refused ? "the origin has no room for another look; trying again" : "connection lost; trying again", "off")
    if (refused) again(source)
  })
  source.addEventListener("clock", (event) => {
    aheadMs = JSON.parse(event.data).nowMs - Date.now()
  })
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(event.data)))
  }
  return source
}

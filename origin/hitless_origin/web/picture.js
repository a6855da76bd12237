// The live picture by hls.js, which the origin's image brings along; without it the page goes on.

import {show} from "./dom.js"
import {whileSeen} from "./stream.js"

const RETRY_MS = 5000
const MOVES = !matchMedia("(prefers-reduced-motion: reduce)").matches

export function picture(video, told, url) {
  let hls = null
  let begun = false

  async function start() {
    if (begun) return
    begun = true
    let Hls
    try {
      Hls = (await import("/page/hls.mjs")).default
    } catch {
      show(told, "No picture here: this origin was started without hls.js (--hls-js).")
      return
    }
    if (!Hls.isSupported()) {
      show(told, "This browser can't play the channel here; the HLS link may do.")
      return
    }
    play(Hls)
  }

  function play(Hls) {
    hls = new Hls({enableWorker: false, cmcd: {}, lowLatencyMode: true})
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (!data.fatal) return
      show(told, `The picture has stopped: ${data.details}. Trying again.`)
      hls.destroy()
      hls = null
      setTimeout(() => play(Hls), RETRY_MS)
    })
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      if (MOVES) video.play().catch(() => show(told, "Press play for the picture."))
      else show(told, "Press play for the picture.")
    })
    hls.loadSource(url)
    hls.attachMedia(video)
  }

  video.addEventListener("playing", () => show(told, ""))
  whileSeen(() => hls?.startLoad(-1), () => hls?.stopLoad())
  return {
    start,
    // From when a picture was taken, by program date time, to when it shows here.
    latencyMs: (nowMs) => {
      const date = video.paused ? null : hls?.playingDate
      return date ? nowMs - date.getTime() : null
    },
  }
}

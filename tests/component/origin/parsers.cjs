// Reads manifests and media with parsers from npm: jobs as JSON on standard input, results on standard output.
"use strict"

const {Parser} = require("m3u8-parser")
const mpdParser = require("mpd-parser")
const MP4Box = require("mp4box")

const READERS = {m3u8: readPlaylist, mpd: readMpd, mp4: readMedia}

function readPlaylist({text}) {
  const parser = new Parser()
  const said = []
  for (const event of ["warn", "info", "error"]) {
    parser.on(event, (what) => said.push(`${event}: ${what.message}`))
  }
  // It takes no notice of EXT-X-GAP by itself.
  parser.addParser({expression: /^#EXT-X-GAP$/, customType: "gap", segment: true, dataParser: () => true})
  parser.push(text)
  parser.end()
  return {said, ...parser.manifest}
}

function readMpd({text, url, now}) {
  const said = []
  const manifest = mpdParser.parse(text, {
    manifestUri: url,
    NOW: now,
    eventHandler: ({type, message}) => said.push(`${type}: ${message}`),
  })
  return {said, clock: mpdParser.parseUTCTiming(text), ...manifest}
}

// One track: its init segment, then media segments, each as base64.
function readMedia({bodies}) {
  const said = []
  const file = MP4Box.createFile()
  file.onError = (module, message) => said.push(`${module}: ${message}`)
  let info = null
  file.onReady = (found) => { info = found }
  let at = 0
  for (const body of bodies) {
    const bytes = new Uint8Array(Buffer.from(body, "base64")).buffer
    bytes.fileStart = at
    at += bytes.byteLength
    file.appendBuffer(bytes)
  }
  file.flush()
  const [track] = info.tracks
  const samples = file.getTrackSamplesInfo(track.id)
  return {
    said,
    tracks: info.tracks.length,
    codec: track.codec,
    timescale: track.timescale,
    video: track.video ?? null,
    audio: track.audio ?? null,
    brands: info.brands,
    fragmented: info.isFragmented,
    boxes: file.boxes.map((box) => box.type),
    sequences: file.moofs.map((moof) => moof.mfhd.sequence_number),
    samples: samples.map(({dts, cts, duration, is_sync: sync, size}) => ({dts, cts, duration, sync, size})),
  }
}

let given = ""
process.stdin.on("data", (chunk) => { given += chunk })
process.stdin.on("end", () => {
  for (const level of ["log", "info", "warn", "error", "debug"]) {
    console[level] = (...words) => process.stderr.write(`${level}: ${words.join(" ")}\n`)
  }
  const results = JSON.parse(given).map((job) => READERS[job.reader](job))
  process.stdout.write(JSON.stringify(results))
})

-- Which actions make sense now; the others are shown greyed out.
local status = obj.status or {}
local update = status.handover
local final = { Completed = true, Aborted = true, RolledBack = true }
local live = update ~= nil and not final[update.phase]
local paused = obj.spec.paused == true
local back = update ~= nil and update.phase == "Completed" and update.from.image ~= obj.spec.image

return {
  abort = { disabled = not live or update.phase == "Aborting" },
  pause = { disabled = paused },
  resume = { disabled = not paused },
  rollback = { disabled = not back },
}

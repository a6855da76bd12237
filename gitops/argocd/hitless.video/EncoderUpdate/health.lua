-- A roll-out over many channels: by its conditions where they speak, else by its phase. What waits
-- for a time or for a person is Suspended.
local phases = {
  Pending = "Progressing",
  Waiting = "Suspended",
  AwaitingApproval = "Suspended",
  Progressing = "Progressing",
  Baking = "Progressing",
  Paused = "Suspended",
  RollingBack = "Progressing",
  Completed = "Healthy",
  Failed = "Degraded",
  RolledBack = "Degraded",
}

local status = obj.status
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "being deleted" }
end
if status == nil or status.phase == nil or (status.observedGeneration ~= nil
    and status.observedGeneration ~= obj.metadata.generation) then
  return { status = "Progressing", message = "waiting for the operator" }
end
local message = status.phase
for _, c in ipairs(status.conditions or {}) do
  if c.type == "Stalled" and c.status == "True" then
    return { status = "Degraded", message = c.reason .. ": " .. c.message }
  end
  if c.type == "Ready" or (c.type == "Reconciling" and c.status == "True") then
    message = c.message
  end
end
return { status = phases[status.phase] or "Unknown", message = message }

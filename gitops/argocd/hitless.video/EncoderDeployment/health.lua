-- After kstatus: what the operator has not seen yet, or is doing, is Progressing; then Stalled; then
-- Ready. An update that waits for spec.paused is Suspended.
local function condition(kind)
  for _, c in ipairs((obj.status or {}).conditions or {}) do
    if c.type == kind and c.status == "True" then
      return c
    end
  end
  return nil
end

local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "being deleted")
end
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "waiting for the operator")
end
local reconciling = condition("Reconciling")
if reconciling ~= nil then
  return health("Progressing", reconciling.message)
end
local stalled = condition("Stalled")
if stalled ~= nil then
  return health("Degraded", stalled.reason .. ": " .. stalled.message)
end
local ready = condition("Ready")
if ready == nil then
  for _, c in ipairs(status.conditions or {}) do
    if c.type == "Ready" then
      return health("Degraded", c.reason .. ": " .. c.message)
    end
  end
  return health("Progressing", "no encoder yet")
end
local blocked = condition("UpdateBlocked")
if blocked ~= nil and blocked.reason == "Paused" then
  return health("Suspended", blocked.message)
end
return health("Healthy", ready.message)

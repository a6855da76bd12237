-- Calls off the update under way, before or after its frame: the incumbent stays, or takes back.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["hitless.video/abort"] = obj.status.handover.id
return obj

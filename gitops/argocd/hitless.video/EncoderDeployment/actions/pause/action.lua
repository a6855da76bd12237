-- The encoder on air stays as it is; updates wait.
obj.spec.paused = true
return obj

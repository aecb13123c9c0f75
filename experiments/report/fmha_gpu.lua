-- What the trace of FMHA on the GPU says.
local common = require "lib.report"

return function(report)
  common.gate(report)
  common.mutations(report)
  common.knowledge(report)
  common.predictions(report)
end

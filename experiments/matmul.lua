-- MatMul on the CPU: the gate, a search of the tuning space, and the ladder beside the peer.
local dsl = require "lib.dsl"

-- One square problem of the ladder.
local function square(size, threads)
  --> recipe
return {
  name = "matmul",
  system = "dsl/matmul_system_v1.dsl",
  seed = 1,
  inputs = { "experiments/lib/dsl.lua" },
  report = "experiments/report/matmul.lua",
  experiment = function(run)
    run:plan()
    run:gate()
    run:hypothesise()
    run:tune()
    climb(run)
    run:settle()
    run:crystallise("matmul_system_v2.dsl")
  end,
}
--< recipe

-- MatMul on the CPU: the gate, a search of the tuning space, and the ladder beside the peer.
local dsl = require "lib.dsl"
local threads = require "lib.threads"

-- One square problem of the ladder.
local function square(size, threads)
  return { m = size, n = size, k = size, threads = threads, seed = 1 }
end

-- The ladder is a comparison; without the peer there is nothing to climb towards.
local function require_peer(record)
  if record.status == "ok" and not record.ratio then
    error("no peer was found: install libopenblas0-pthread, or name the library in SPAK_OPENBLAS", 0)
  end
end

-- Each rung at each size that it can do in bearable time, then the tuned configuration, then all cores.
local function climb(run)
  local loop = dsl.block(run.system, "engineering_loop")
  local plan = dsl.block(loop, "ladder", run.profile)
  local limit = { naive = dsl.value(plan, "naive_up_to"), loop_order = dsl.value(plan, "loop_order_up_to") }
  local options = run:options()
  options.samples = dsl.value(plan, "samples")
  for _, size in ipairs(dsl.value(plan, "sizes")) do
    local last -- the register tile, on one thread
    for _, rung in ipairs { "naive", "loop_order", "blocked", "packed", "register_tile" } do
      if size <= (limit[rung] or size) then
        local problem = square(size, 1)
        last = run:evaluate { label = "ladder", config = { variant = rung }, problem = problem, options = options }
        require_peer(last)
      end
    end
    run:evaluate { label = "tuned", config = run:best("one_thread"), problem = square(size, 1), options = options }
    if run.hw.cores >= 2 then
      threads.evaluate(run, {
        label = "ladder", config = { variant = "threads" }, problem = square(size, 2), options = options,
      }, last)
    end
  end
end

--> recipe
return {
  name = "matmul",
  system = "dsl/matmul_system_v1.dsl",
  seed = 1,
  inputs = { "experiments/lib/dsl.lua", "experiments/lib/threads.lua" },
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

-- Attention on the CPU: what MatMul taught is inherited, the gate is tried on planted faults, and one pass is measured
-- beside three, over the length.
local dsl = require "lib.dsl"

-- The system's problem at another length, with what else is different.
local function problem(run, length, more)
  local p = run:problem("heads_of_sixty_four")
  p.q_len = length
  for key, value in pairs(more or {}) do p[key] = value end
  return p
end

-- The search's tiles, for a variant that the search did not run.
local function tuned(run, variant)
  local config = run:best("heads_of_sixty_four")
  config.variant = variant
  return config
end

-- One pass beside three at each length, with and without a mask, on one thread and on all; and the steps below it.
local function sweep(run, plan, options)
  local alone = run:options()
  alone.samples, alone.peer = options.samples, false
  for _, length in ipairs(dsl.value(plan, "lengths")) do
    if length <= dsl.value(plan, "naive_up_to") then
      run:evaluate { label = "sweep", config = { variant = "naive" }, problem = problem(run, length), options = alone }
    end
    run:evaluate { label = "sweep", config = { variant = "unfused" }, problem = problem(run, length), options = alone }
    for _, causal in ipairs { false, true } do
      local one = problem(run, length, { causal = causal })
      run:evaluate { label = "sweep", config = { variant = "fused" }, problem = one, options = options }
      if run.hw.cores >= 2 then
        local all = problem(run, length, { causal = causal, threads = 2 })
        run:evaluate { label = "sweep", config = { variant = "threads" }, problem = all, options = options }
      end
    end
    if length <= dsl.value(plan, "tuned_up_to") then
      run:evaluate { label = "tuned", config = tuned(run, "fused"), problem = problem(run, length), options = options }
    end
  end
end

-- What else attention has to do: gradients, grouped heads, numbers of sixteen bits.
local function more(run, plan, options)
  for _, length in ipairs(dsl.value(plan, "lengths")) do
    if length <= dsl.value(plan, "backward_up_to") then
      local gradients = problem(run, length, { backward = true, causal = true })
      run:evaluate { label = "backward", config = { variant = "fused" }, problem = gradients, options = options }
    end
  end
  local alone = run:options()
  alone.samples, alone.peer = options.samples, false
  local function once(label, changes)
    run:evaluate { label = label, config = { variant = "fused" }, problem = problem(run, 1024, changes), options = alone }
  end
  for _, kv_heads in ipairs { 8, 2, 1 } do once("grouped", { kv_heads = kv_heads }) end
  for _, dtype in ipairs { "f32", "f16", "bf16" } do once("sixteen", { dtype = dtype }) end
end

return {
  name = "fmha",
  system = "dsl/fmha_system_v1.dsl",
  seed = 1,
  inputs = { "experiments/lib/dsl.lua" },
  report = "experiments/report/fmha.lua",
  experiment = function(run)
    local plan = dsl.block(dsl.block(run.system, "engineering_loop"), "sweep", run.profile)
    local options = run:options()
    options.samples = dsl.value(plan, "samples")
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    run:study("floor_in_16_bits", {})
    run:tune()
    sweep(run, plan, options)
    more(run, plan, options)
    run:settle()
    run:crystallise("fmha_system_v2.dsl")
  end,
}

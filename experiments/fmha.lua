-- Attention on the CPU: what MatMul taught is inherited, the gate is tried on planted faults, and one pass is measured
-- beside three, over the length.
local dsl = require "lib.dsl"

-- Besides the system and attention's own folder: three passes run on MatMul's register tiles.
local INPUTS = {
  "experiments/lib/dsl.lua", "kernels/matmul/goto.c", "kernels/matmul/config.c", "kernels/matmul/matmul.h",
  "kernels/matmul/micro_tile.h", "kernels/matmul/micro_rows.h", "kernels/matmul/micro_pack.h",
  "kernels/matmul/micro_portable.c", "kernels/matmul/micro_avx2.c", "kernels/matmul/micro_avx512.c",
}

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
    local one = problem(run, 1024, changes)
    run:evaluate { label = label, config = { variant = "fused" }, problem = one, options = alone }
  end
  for _, kv_heads in ipairs { 8, 2, 1 } do once("grouped", { kv_heads = kv_heads }) end
  for _, dtype in ipairs { "f32", "f16", "bf16" } do once("sixteen", { dtype = dtype }) end
end

-- PyTorch's attention, where it is installed, and ours in turn, on as many threads.
local function beside_torch(run, options)
  local threads = math.min(2, run.hw.cores)
  local shape = ("heads=8,q_len=2048,head_dim=64,causal=0,threads=%d"):format(threads)
  local alone = run:options()
  alone.samples, alone.peer = options.samples, false
  for round = 1, 3 do
    local torch = run:program {
      label = ("torch_%d"):format(round), optional = true, timeout_s = 120,
      command = {
        "python3", "experiments/peers/sdpa_torch.py", shape, "--repeats", ("%d"):format(2 * options.samples),
      },
    }
    if torch.status ~= "ok" then return end
    run:evaluate {
      label = ("beside_torch_%d"):format(round), config = { variant = threads > 1 and "threads" or "fused" },
      problem = problem(run, 2048, { threads = threads }), options = alone,
    }
  end
end

--> recipe
return {
  name = "fmha",
  system = "dsl/fmha_system_v1.dsl",
  seed = 1,
  inputs = INPUTS,
  report = "experiments/report/fmha.lua",
  experiment = function(run)
    local loop = dsl.block(run.system, "engineering_loop")
    local plan, options = dsl.block(loop, "sweep", run.profile), run:options()
    options.samples = dsl.value(plan, "samples")
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    run:study("floor_in_16_bits", {})
    run:tune()
    sweep(run, plan, options)
    more(run, plan, options)
    beside_torch(run, options)
    run:settle()
    run:crystallise("fmha_system_v2.dsl")
  end,
}
--< recipe

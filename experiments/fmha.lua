-- Attention on the CPU: what MatMul taught is inherited, the gate is tried on planted faults, and one pass is measured
-- beside three, over the length.
local dsl = require "lib.dsl"
local threads = require "lib.threads"

-- Besides the system and attention's own folder: three passes run on MatMul's register tiles. tests/house/inputs.t holds
-- the list of kernels against what the compiler read.
local INPUTS = {
  "experiments/lib/dsl.lua", "experiments/lib/threads.lua", "experiments/peers/sdpa_torch.py",
  "kernels/matmul/config.c", "kernels/matmul/goto.c", "kernels/matmul/ladder.c", "kernels/matmul/matmul.h",
  "kernels/matmul/micro_avx2.c", "kernels/matmul/micro_avx512.c", "kernels/matmul/micro_pack.h",
  "kernels/matmul/micro_portable.c", "kernels/matmul/micro_rows.h", "kernels/matmul/micro_tile.h",
}

-- The system's problem at another length, with what else is different.
local function problem(run, length, more)
  local p = run:problem("heads_of_sixty_four")
  p.q_len = length
  for key, value in pairs(more or {}) do p[key] = value end
  return p
end

-- The same options without the peer.
local function without_peer(run, options)
  local alone = run:options()
  alone.samples, alone.peer = options.samples, false
  return alone
end

-- The search's tiles on the same problem, unless the search ended at those that the default has there anyway.
local function evaluate_tuned(run, default, options)
  local config, differs = run:best("heads_of_sixty_four"), false
  config.variant = "fused"
  for axis, value in pairs(config) do differs = differs or value ~= default.config[axis] end
  if differs then
    run:evaluate { label = "tuned", config = config, problem = default.problem, options = options }
  end
end

-- One pass beside three at each length, with and without a mask, on one thread and on all; and the steps below it.
local function sweep(run, plan, options)
  for _, length in ipairs(dsl.value(plan, "lengths")) do
    if length <= dsl.value(plan, "naive_up_to") then
      run:evaluate { label = "sweep", config = { variant = "naive" }, problem = problem(run, length), options = options }
    end
    for _, causal in ipairs { false, true } do
      local one = run:evaluate {
        label = "sweep", config = { variant = "fused" }, problem = problem(run, length, { causal = causal }),
        options = options,
      }
      if run.hw.cores >= 2 then
        threads.evaluate(run, {
          label = "sweep", config = { variant = "threads" },
          problem = problem(run, length, { causal = causal, threads = 2 }), options = options,
        }, one)
      end
      if not causal and one.status == "ok" and length <= dsl.value(plan, "tuned_up_to") then
        evaluate_tuned(run, one, options)
      end
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
  local alone = without_peer(run, options)
  local function once(label, changes)
    local one = problem(run, 1024, changes)
    run:evaluate { label = label, config = { variant = "fused" }, problem = one, options = alone }
  end
  for _, kv_heads in ipairs { 8, 2, 1 } do once("grouped", { kv_heads = kv_heads }) end
  for _, dtype in ipairs { "f32", "f16", "bf16" } do once("sixteen", { dtype = dtype }) end
end

-- PyTorch's attention, where it is installed, and ours in turn, on as many threads, without a mask and with one. No round
-- is asked again: to do so when ours was slow, and not when theirs was, would favour ours.
local function beside_torch(run, plan, options)
  local count = math.min(2, run.hw.cores)
  local alone = without_peer(run, options)
  local command = {
    "python3", "experiments/peers/sdpa_torch.py", "--repeats", ("%d"):format(2 * options.samples),
    "--flush-bytes", ("%d"):format(run.hw.flush_bytes),
  }
  for _, causal in ipairs { 0, 1 } do
    command[#command + 1] = ("heads=8,q_len=2048,head_dim=64,causal=%d,threads=%d"):format(causal, count)
  end
  for round = 1, dsl.value(plan, "torch_rounds") do
    local label = ("torch_%d"):format(round)
    local torch = run:program { label = label, optional = true, timeout_s = 240, command = command }
    if torch.status ~= "ok" then return end
    for _, causal in ipairs { false, true } do
      run:evaluate {
        label = ("beside_torch_%d"):format(round), config = { variant = count > 1 and "threads" or "fused" },
        problem = problem(run, 2048, { threads = count, causal = causal }), options = alone,
      }
    end
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
    beside_torch(run, plan, options)
    run:settle()
    run:crystallise("fmha_system_v2.dsl")
  end,
}
--< recipe

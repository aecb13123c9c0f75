-- FMHA on the GPU: the gate and its trial on planted faults, the ladder, the points of the comparison forward and
-- backward beside what PyTorch picks, what fusing is worth, tiles and stages tried out, decoding, and awkward inputs.
local blocks = require "lib.blocks"
local dsl = require "lib.dsl"

-- Besides the system and the operator's own folder. tests/house/inputs.t holds the kernels against what is included.
local INPUTS = {
  "experiments/lib/blocks.lua", "experiments/lib/dsl.lua", "experiments/peers/sdpa_gpu_torch.py",
  "kernels/matmul/gpu/matmul_gpu.h", "kernels/matmul/gpu/op.c", "kernels/matmul/gpu/params.h",
  "kernels/oracle/fmha.cuh", "kernels/oracle/fmha_all.cu", "kernels/oracle/fmha_f64.c", "kernels/oracle/fmha_f64.cu",
  "kernels/oracle/fmha_f64.h", "kernels/oracle/fmha_params.h", "kernels/oracle/params.h",
  "kernels/ptx/attention.cuh", "kernels/ptx/attention_backward.cuh", "kernels/ptx/attention_mma.cuh",
  "kernels/ptx/hopper.cuh", "kernels/ptx/mma.cuh", "kernels/ptx/types.cuh",
  "src/device/gpu_copy.c", "src/device/gpu_launch.c", "src/device/gpu_memory.c", "src/device/gpu_tensor.c",
  "src/device/peer_program.c", "dsl/hardware/nvidia.dsl",
}

local RUNGS = {
  "unfused", "mma_sync", "tma", "specialised", "ping_pong", "ahead", "registers", "persistent", "packed", "kept",
}

-- The last step is the top's kernel whose maximum stays; the two below it follow theirs.
local function config_of(rung)
  if rung == "kept" then return { variant = "packed", maximum = "kept" } end
  local follows = rung == "persistent" or rung == "packed"
  return { variant = rung, maximum = follows and "followed" or nil }
end

-- What the system says of the profile: blocks `points` and `ladder`.
local function plan_of(run, kind)
  return blocks.fields(dsl.block(dsl.block(run.system, "engineering_loop"), kind, run.profile))
end

local function options_with(run, changes)
  local options = run:options()
  for key, value in pairs(changes) do options[key] = value end
  return options
end

-- A problem with all its members, so that predictions can ask for any of them.
local function problem_of(members)
  local problem = {
    causal = false, window = -1, varlen = false, dtype = "bf16", pass = "forward", deterministic = false,
    inputs = "normal", peer = "default", seed = 1,
  }
  for key, value in pairs(members) do problem[key] = value end
  problem.kv_heads = problem.kv_heads or problem.heads
  problem.kv_len = problem.kv_len or problem.q_len
  return problem
end

-- A problem of the system, with some of its members changed.
local function named(run, name, changes)
  local problem = run:problem(name)
  for key, value in pairs(changes or {}) do problem[key] = value end
  return problem_of(problem)
end

-- A point of the comparison.
local function point(points, head_dim, length, causal, changes)
  local problem = {
    batch = math.max(1, points.tokens // length), heads = points.hidden // head_dim, q_len = length,
    head_dim = head_dim, causal = causal,
  }
  for key, value in pairs(changes or {}) do problem[key] = value end
  return problem_of(problem)
end

local function has(list, value)
  for _, member in ipairs(list) do
    if member == value then return true end
  end
  return false
end

-- Calls visit(head_dim, length, causal) for each point.
local function each_point(points, visit)
  for _, head_dim in ipairs(points.head_dims) do
    for _, causal in ipairs { false, true } do
      for _, length in ipairs(points.lengths) do visit(head_dim, length, causal) end
    end
  end
end

-- The configuration that the model picks, beside what PyTorch picks.
local function forward(run, points)
  each_point(points, function(head_dim, length, causal)
    run:evaluate { label = "forward", problem = point(points, head_dim, length, causal), options = run:options() }
    if causal and head_dim == points.head_dims[#points.head_dims] and has(points.flash_forward, length) then
      run:evaluate {
        label = "flash", problem = point(points, head_dim, length, causal, { peer = "flash" }),
        options = options_with(run, { samples = math.min(10, run:options().samples) }),
      }
    end
  end)
end

-- Both ways to add up dQ. The deterministic one follows the fast one, beside which the peer is measured.
local function backward(run, points)
  local options = options_with(run, { samples = points.backward_samples })
  local alone = options_with(run, { samples = math.min(10, points.backward_samples), peer = false })
  each_point(points, function(head_dim, length, causal)
    run:evaluate {
      label = "backward", problem = point(points, head_dim, length, causal, { pass = "backward" }), options = options,
    }
    run:evaluate {
      label = "deterministic", options = alone,
      problem = point(points, head_dim, length, causal, { pass = "backward", deterministic = true }),
    }
    if causal and head_dim == points.head_dims[#points.head_dims] and has(points.flash_backward, length) then
      run:evaluate {
        label = "flash", problem = point(points, head_dim, length, causal, { pass = "backward", peer = "flash" }),
        options = options_with(run, { samples = math.min(10, points.backward_samples) }),
      }
    end
  end)
end

-- Each rung at the widest head, with a mask and without; packing where there is something to pack.
local function climb(run, points, plan)
  local options = options_with(run, { samples = plan.samples, peer = false })
  local head_dim = points.head_dims[#points.head_dims]
  for _, causal in ipairs { false, true } do
    for _, length in ipairs(plan.lengths) do
      for _, rung in ipairs(RUNGS) do
        run:evaluate {
          label = "ladder", config = config_of(rung), problem = point(points, head_dim, length, causal),
          options = options,
        }
      end
    end
  end
  for _, rung in ipairs { "mma_sync", "persistent" } do
    run:evaluate {
      label = "ladder_backward", config = { variant = rung }, options = options,
      problem = point(points, head_dim, plan.lengths[1], true, { pass = "backward" }),
    }
  end
  for _, rung in ipairs { "mma_sync", "persistent", "packed" } do
    run:evaluate {
      label = "ladder_few", config = { variant = rung }, problem = named(run, "few_queries"), options = options,
    }
  end
end

-- Three kernels through memory at every length, the one kernel with the same instructions, and the fastest one.
local function unfuse(run, points, plan)
  local options = options_with(run, { samples = plan.samples, peer = false })
  local head_dim = points.head_dims[#points.head_dims]
  for _, length in ipairs(plan.fusion) do
    for _, rung in ipairs { "unfused", "mma_sync", "packed" } do
      run:evaluate {
        label = "fusion", config = { variant = rung }, problem = point(points, head_dim, length, false),
        options = options,
      }
    end
  end
end

-- --- tiles and stages ---

-- The shapes that tiles and stages are tried at, under a causal mask: the source's, and the narrower heads.
local function swept(run, points, plan)
  return { named(run, "source_shape"), point(points, points.head_dims[1], plan.tried, true) }
end

-- All tiles that the constraints let through, for the top of the ladder, the step with one to three warpgroups and no
-- turns, and the portable one, which is the nearest to what the source ran.
local function sweep_tiles(run, points, plan)
  local options = options_with(run, { samples = plan.samples, peer = false, min_sample_ms = 1 })
  local widths = {
    packed = { 32, 64, 80, 96, 112, 128, 144, 160, 176 }, specialised = { 32, 64, 96, 128, 160 },
    mma_sync = { 16, 32, 48, 64, 96, 128 },
  }
  for _, problem in ipairs(swept(run, points, plan)) do
    for _, variant in ipairs { "mma_sync", "specialised", "packed" } do
      for _, tile_m in ipairs { 64, 128, 192 } do
        for _, tile_n in ipairs(widths[variant]) do
          run:evaluate {
            label = "tiles", config = { variant = variant, tile_m = tile_m, tile_n = tile_n }, problem = problem,
            options = options,
          }
        end
      end
    end
  end
end

-- All numbers of stages of K and of V, with a tile narrow enough for all of them.
local function sweep_stages(run, points, plan)
  local options = options_with(run, { samples = plan.samples, peer = false, min_sample_ms = 1 })
  for _, problem in ipairs(swept(run, points, plan)) do
    for k_stages = 1, 5 do
      for v_stages = 1, 5 do
        run:evaluate {
          label = "stages", problem = problem, options = options,
          config = {
            variant = "packed", tile_m = 128, tile_n = 64, q_stages = 1, k_stages = k_stages, v_stages = v_stages,
          },
        }
      end
    end
  end
end

-- --- what else it does ---

local function others(run)
  run:study("device_copy", {})
  run:evaluate { label = "source_shape", problem = named(run, "source_shape"), options = run:options() }
  local back = named(run, "source_shape", { pass = "backward" })
  run:evaluate { label = "source_shape", problem = back, options = run:options() }
  local few = options_with(run, { samples = math.min(15, run:options().samples) })
  for _, name in ipairs { "decode", "decode_grouped", "decode_one" } do
    run:evaluate { label = "decode", problem = named(run, name), options = few }
  end
  for _, name in ipairs { "gpt2", "half", "window", "varlen", "dim_32", "dim_96", "dim_256" } do
    run:evaluate { label = "more", problem = named(run, name), options = few }
  end
  for _, name in ipairs { "gpt2", "half", "window", "varlen", "source_shape" } do
    run:evaluate {
      label = "layouts", problem = named(run, name, { layout = "bthd" }),
      options = options_with(run, { samples = 3, peer = false }),
    }
  end
end

-- --- awkward ones ---

-- Lengths that are no multiple of anything and the widths of small models, with inputs that leave the bound no room
-- (equal scores and integers: every key that is missing shows), and with logits of 1e4 and of 1e-4. Only checked.
local function edges(run)
  local options = options_with(run, { samples = 1, min_sample_ms = 0, peer = false, flush = false })
  local function try(members, config)
    local problem = { batch = 2, heads = 6, q_len = 127, head_dim = 64, causal = true, inputs = "equal" }
    for key, value in pairs(members) do problem[key] = value end
    run:evaluate { label = "edge", config = config, problem = problem_of(problem), options = options }
  end
  local top = {}
  for _, length in ipairs { 1, 13, 64, 127, 257, 1023 } do
    for _, heads in ipairs { 6, 12 } do
      try({ q_len = length, heads = heads }, top)
      try({ q_len = length, heads = heads, pass = "backward" }, top)
    end
    try({ q_len = length, causal = false }, top)
    try({ q_len = length }, { variant = "mma_sync" })
    try({ q_len = length, pass = "backward", deterministic = true }, { variant = "mma_sync" })
  end
  for _, inputs in ipairs { "large", "tiny", "spread" } do
    for _, dtype in ipairs { "bf16", "f16" } do
      try({ q_len = 257, inputs = inputs, dtype = dtype }, top)
      try({ q_len = 257, inputs = inputs, dtype = dtype, causal = false }, top)
      try({ q_len = 257, inputs = inputs, dtype = dtype, pass = "backward" }, top)
      try({ q_len = 257, inputs = inputs, dtype = dtype }, { variant = "mma_sync" })
      try({ q_len = 1, kv_len = 1023, inputs = inputs, dtype = dtype }, top)
    end
  end
  -- Rows that see no key: more queries than keys under a causal mask, lengths of zero; windows; groups.
  for _, pass in ipairs { "forward", "backward" } do
    try({ q_len = 257, kv_len = 127, pass = pass }, top)
    try({ q_len = 127, kv_len = 257, pass = pass }, top)
    try({ q_len = 257, varlen = true, batch = 9, pass = pass }, top)
    try({ q_len = 257, window = 63, pass = pass }, top)
    try({ q_len = 257, window = 63, causal = false, pass = pass }, top)
    try({ q_len = 257, kv_heads = 2, pass = pass }, top)
    try({ q_len = 257, kv_heads = 1, pass = pass, deterministic = pass == "backward" }, top)
    for _, head_dim in ipairs { 32, 96, 128, 192, 256 } do try({ q_len = 257, head_dim = head_dim, pass = pass }, top) end
  end
  for _, length in ipairs { 1, 13, 1023 } do
    try({ q_len = 1, kv_len = length, heads = 32, kv_heads = 8, head_dim = 128 }, top)
    try({ q_len = 3, kv_len = length, heads = 8, kv_heads = 2 }, { variant = "decode" })
  end
end

--> recipe
return {
  name = "fmha_gpu",
  system = "dsl/fmha_gpu_system_v1.dsl",
  seed = 1,
  inputs = INPUTS,
  report = "experiments/report/fmha_gpu.lua",
  experiment = function(run)
    local points, plan = plan_of(run, "points"), plan_of(run, "ladder")
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    edges(run)
    forward(run, points)
    backward(run, points)
    others(run)
    climb(run, points, plan)
    unfuse(run, points, plan)
    sweep_tiles(run, points, plan)
    sweep_stages(run, points, plan)
    run:settle()
    run:crystallise("fmha_gpu_system_v2.dsl")
  end,
}
--< recipe

-- MatMul on the GPU: the gate and its trial on planted faults, the ladder beside cuBLAS, the shapes of training, what
-- tiling, swizzling and pipelining are worth one by one, and a search held against trying everything.
local blocks = require "lib.blocks"
local dsl = require "lib.dsl"

-- Besides the system and the operator's own folder. tests/house/inputs.t holds the kernels against what is included.
local INPUTS = {
  "experiments/lib/blocks.lua", "experiments/lib/dsl.lua",
  "kernels/oracle/matmul_f64.c", "kernels/oracle/matmul_f64.cu", "kernels/oracle/matmul_f64.h",
  "kernels/oracle/params.h", "kernels/ptx/hopper.cuh", "kernels/ptx/mma.cuh", "kernels/ptx/types.cuh",
  "src/device/gpu_blas.c", "src/device/gpu_copy.c", "src/device/gpu_launch.c", "src/device/gpu_memory.c",
  "src/device/gpu_tensor.c", "dsl/hardware/nvidia.dsl",
}

local RUNGS = {
  "naive", "coalesced", "shared_tile", "register_tile", "mma_sync", "tma", "specialised", "two_consumers", "persistent",
  "cluster", "async_store", "best",
}
local SLOW = { naive = "naive_up_to", coalesced = "naive_up_to", shared_tile = "vector_up_to",
  register_tile = "vector_up_to" }
local SHAPES = {
  "square_512", "square_1024", "square_2048", "square_4096", "square_8192", "square_16384", "gpt2_up", "gpt2_down",
  "gpt2_vocabulary", "llama_up",
}
local TRAINING = {
  "gpt2_up_dx", "gpt2_up_dw", "gpt2_vocabulary_dx", "gpt2_vocabulary_dw", "looplm_qkv", "looplm_mlp",
}

-- What the system says of the profile's ladder.
local function plan_of(run)
  return blocks.fields(dsl.block(dsl.block(run.system, "engineering_loop"), "ladder", run.profile))
end

-- The profile's options with some of them changed.
local function options_with(run, changes)
  local options = run:options()
  for key, value in pairs(changes) do options[key] = value end
  return options
end

-- A problem of the system with some of its members changed.
local function problem_with(run, name, changes)
  local problem = run:problem(name)
  for key, value in pairs(changes) do problem[key] = value end
  return problem
end

-- A configuration with some axes changed; a trial's own has all of them, so that trials differ in these alone.
local function config_with(config, changes)
  local other = {}
  for axis, value in pairs(config) do other[axis] = value end
  for axis, value in pairs(changes) do other[axis] = value end
  return other
end

-- Each rung at each size that it can do in bearable time.
local function climb(run, plan)
  local slow = options_with(run, { samples = plan.slow_samples })
  for _, size in ipairs(plan.sizes) do
    for _, rung in ipairs(RUNGS) do
      local limit = SLOW[rung] and plan[SLOW[rung]] or size
      if size <= limit then
        run:evaluate {
          label = "ladder", config = { variant = rung }, problem = run:problem(("square_%d"):format(size)),
          options = SLOW[rung] and slow or run:options(),
        }
      end
    end
    -- Where B is stored by k, as here and not above, neighbours along n lie side by side.
    for _, rung in ipairs(size <= plan.naive_up_to and { "naive", "coalesced" } or {}) do
      run:evaluate {
        label = "ladder_by_k", config = { variant = rung },
        problem = problem_with(run, ("square_%d"):format(size), { trans_b = false }), options = slow,
      }
    end
  end
end

-- The shapes with the configuration that a search ended at, else with the one that the model picks; start: how a launch
-- follows the one before it.
local function shapes(run, label, names, start)
  for _, name in ipairs(names) do
    local config = config_with(run:best(name) or {}, { start = start })
    run:evaluate { label = label, config = config, problem = run:problem(name), options = run:options() }
  end
end

-- A search from the best of what the model chooses for each height of the tile: tile and stages share one memory, and a
-- search that changes one axis at a time does not get from one height to another.
local function search(run, name, trials)
  run:tune {
    label = name, starts = { { tile_m = 64 }, { tile_m = 128 }, { tile_m = 256 } }, problem = run:problem(name),
    options = options_with(run, { samples = math.min(15, run:options().samples) }), max_trials = trials,
  }
end

-- Every tile and cluster at the new shape, the rest as the model fills it in: what the search is held against.
local function everything(run)
  local options = options_with(run, { samples = math.min(15, run:options().samples) })
  for _, tile_m in ipairs { 64, 128, 256 } do
    for _, tile_n in ipairs { 64, 96, 128, 160, 192, 224, 256 } do
      for _, cluster in ipairs { { 1, 1 }, { 2, 1 } } do
        run:evaluate {
          label = "exhaustive", problem = run:problem("new_shape"), options = options,
          config = {
            variant = "best", tile_m = tile_m, tile_n = tile_n, cluster_m = cluster[1], cluster_n = cluster[2],
          },
        }
      end
    end
  end
end

-- One axis at a time, all else as it is in `start`.
local function vary(run, label, start, axis, values, problem)
  for _, value in ipairs(values) do
    run:evaluate {
      label = label, config = config_with(start, { [axis] = value }), problem = problem, options = run:options(),
    }
  end
end

-- What tiling, swizzling and pipelining are worth, at one large square.
local function ablate(run)
  local problem = run:problem(run.profile == "paper" and "square_4096" or "square_1024")
  local function default(variant)
    local record = run:evaluate {
      label = "ablation_start", config = { variant = variant }, problem = problem, options = run:options(),
    }
    return record.status == "ok" and record.config or nil
  end
  local top, portable = default("cluster"), default("mma_sync")
  if portable then
    vary(run, "ablation_swizzle", portable, "swizzle_bytes", { 128, 16 }, problem)
    vary(run, "ablation_stages_portable", portable, "stages", { 2, 3, 4, 5 }, problem)
  end
  if top then
    local simple = config_with(top, { variant = "tma", tile_n = 128, cluster_m = 1, cluster_n = 1 })
    vary(run, "ablation_stages", simple, "stages", { 1, 2, 3, 4, 5, 6 }, problem)
    vary(run, "ablation_group", top, "group", { 1, 4, 8, 16, 32 }, problem)
    vary(run, "ablation_tile", config_with(top, { stages = 3 }), "tile_n", { 64, 128, 192, 256 }, problem)
  end
end

-- What sharing the last round out and overlapping launches are worth, where the last round is nearly full and where not.
local function schedules(run)
  for _, name in ipairs(run.profile == "paper" and { "square_4096", "square_8192", "llama_up" } or { "square_2048" }) do
    local problem = run:problem(name)
    local first = run:evaluate {
      label = "ablation_start", config = { last_round = "whole" }, problem = problem, options = run:options(),
    }
    if first.status == "ok" then
      vary(run, "ablation_round", first.config, "last_round", { "whole", "shared" }, problem)
    end
  end
end

local EPILOGUES = {
  { epilogue = { "bias" } }, { epilogue = { "bias", "gelu" } }, { epilogue = { "residual" } },
  { alpha = 0.5, beta = 1 }, { out = "f32" }, { dtype = "f16" },
}

-- What training asks of a product besides the product.
local function epilogues(run)
  for _, changes in ipairs(EPILOGUES) do
    run:evaluate {
      label = "epilogue", config = {}, problem = problem_with(run, "gpt2_up", changes), options = run:options(),
    }
  end
end

-- Lengths that are no multiple of anything, by the portable path; and multiples of eight that are no multiple of a tile,
-- which the others take too. Inputs are small integers, whose sums are exact: any product that is missing shows.
local function edges(run)
  local options = options_with(run, { samples = 1, min_sample_ms = 0, peer = false, flush = false })
  local any = { { 1, 1, 1 }, { 13, 127, 257 }, { 127, 257, 13 }, { 257, 13, 1000 }, { 4097, 257, 127 },
    { 1000, 4097, 1000 }, { 1, 4097, 1000 } }
  local eights = { { 8, 8, 8 }, { 264, 136, 72 }, { 136, 4104, 1000 }, { 1000, 1000, 1000 } }
  local function try(length, trans, config, changes)
    local problem = { m = length[1], n = length[2], k = length[3], trans_a = trans[1], trans_b = trans[2], integers = 4,
      seed = 1 }
    for key, value in pairs(changes or {}) do problem[key] = value end
    run:evaluate { label = "edge", config = config, problem = problem, options = options }
  end
  for _, trans in ipairs { { false, false }, { false, true }, { true, false }, { true, true } } do
    for _, length in ipairs(any) do try(length, trans, { variant = "mma_sync" }) end
    for _, length in ipairs(eights) do
      try(length, trans, {})
      try(length, trans, { variant = "mma_sync" })
      if run.hw.cc == 90 then
        try(length, trans, { variant = "best", tile_m = 128, tile_n = 128, last_round = "shared" })
        try(length, trans, {}, { epilogue = { "bias", "gelu", "residual" } })
        try(length, trans, {}, { out = "f32", beta = 1 })
      end
    end
    if run.hw.cc == 90 then try(eights[3], trans, { variant = "best", tile_m = 128, tile_n = 128, cluster_n = 2 }) end
  end
end

--> recipe
return {
  name = "matmul_gpu",
  system = "dsl/matmul_gpu_system_v1.dsl",
  seed = 1,
  inputs = INPUTS,
  report = "experiments/report/matmul_gpu.lua",
  experiment = function(run)
    local plan = plan_of(run)
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    edges(run)
    climb(run, plan)
    for _, name in ipairs(plan.searched) do
      search(run, name.word or name, plan.search_trials)
    end
    shapes(run, "shape", SHAPES)
    shapes(run, "shape_plain", SHAPES, "plain")
    shapes(run, "training", TRAINING)
    epilogues(run)
    ablate(run)
    schedules(run)
    search(run, "new_shape", plan.new_trials)
    everything(run)
    run:settle()
    run:crystallise("matmul_gpu_system_v2.dsl")
  end,
}
--< recipe

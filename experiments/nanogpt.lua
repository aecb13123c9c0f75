-- nanoGPT on the CPU: the gate and its faults, the published small configuration, PyTorch in turn, parity over depth,
-- and weights that are carried over.
local blocks = require "lib.blocks"
local dsl = require "lib.dsl"
local models = require "lib.models"

local function cpu_problem(run, more)
  local problem = run:problem("cpu_configuration")
  for key, value in pairs(more) do problem[key] = value end
  return problem
end

local function count_threads(run) return math.min(2, run.hw.cores) end

-- The same steps in both precisions on one thread: how far the losses part, and what plain loops cost.
local function fidelity(run, plan)
  local problem = cpu_problem(run, { steps = plan.fidelity_steps })
  for _, variant in ipairs { "oracle", "cpu" } do
    run:evaluate {
      label = "fidelity", config = { variant = variant, threads = 1 }, problem = problem, options = { check = false },
    }
  end
end

-- The published small configuration with its validations, once for each seed.
local function train(run, plan)
  for _, seed in ipairs(plan.seeds) do
    run:evaluate {
      label = "train", config = { variant = "cpu", threads = count_threads(run) },
      problem = cpu_problem(run, {
        seed = seed, steps = plan.steps, validate_every = plan.validate_every, eval_iters = plan.eval_iters,
      }),
    }
  end
end

-- A round of one arm: PyTorch in eager mode and ours on as many threads, with its plain AdamW or with the fused one, or
-- forward passes. PyTorch goes first in odd rounds, ours in even ones. False where PyTorch did not run.
local ARMS <const> = { { "step" }, { "step", "--fused", "fused" }, { "forward", "--forward" } }
local function beside_in_round(run, plan, arm, round)
  local threads, name = count_threads(run), ("%s_%d"):format(arm[3] or arm[1], round)
  local function theirs()
    local command = {
      "python3", "experiments/peers/gpt_torch.py", "--threads", ("%d"):format(threads), "--steps",
      ("%d"):format(plan.speed_steps), arm[2],
    }
    return run:program({ label = "torch_" .. name, optional = true, timeout_s = 240, command = command }).status == "ok"
  end
  local function ours()
    run:evaluate {
      label = "beside_torch_" .. name, config = { variant = "cpu", threads = threads }, options = { check = false },
      problem = cpu_problem(run, { steps = plan.speed_steps, pass = arm[1] }),
    }
    return true
  end
  if round % 2 == 1 then return theirs() and ours() end
  return ours() and theirs()
end

-- Rounds of all arms in turn. No round is asked again.
local function beside_torch(run, plan)
  for round = 1, plan.rounds do
    for _, arm in ipairs(ARMS) do
      if not beside_in_round(run, plan, arm, round) then return end
    end
  end
end

-- N3: the whole model at several lengths, as it is and with sharp attention.
local function depth(run, loop, plan)
  local options = blocks.fields(dsl.block(loop, "depth", run.profile))
  options.layers, options.lens, options.sharp = plan.depth_layers, plan.depth_lens, plan.depth_sharp
  run:study("parity_over_depth", options)
end

local function widths(run, loop)
  run:study("odd_widths", blocks.fields(dsl.block(loop, "widths", "layernorm")))
end

-- With a clock around each operator, on the threads that the training had.
local function operators(run, plan)
  run:study("time_by_operator", { steps = plan.clocked_steps, threads = count_threads(run) })
end

local function transplant(run, plan)
  run:study("transplant", {
    steps = plan.transplant_steps, prompts = plan.transplant_prompts, tokens = plan.transplant_tokens,
    threads = count_threads(run),
  })
end

local function large(run, loop, plan)
  local shape = blocks.fields(dsl.block(loop, "large", run.profile))
  run:study("memory_and_time", {
    preset = shape.preset, len = shape.len, passes = plan.large_passes, threads = count_threads(run),
    model = { layers = shape.layers, width = shape.width, heads = shape.heads, context = shape.len },
  })
end

--> recipe
return {
  name = "nanogpt",
  system = "dsl/nanogpt_system_v1.dsl",
  seed = 1,
  data = { "tinyshakespeare" },
  inputs = models.with {
    "experiments/peers/gpt_torch.py", "src/lua/api_program.c",
  },
  report = "experiments/report/nanogpt.lua",
  experiment = function(run)
    local loop = dsl.block(run.system, "engineering_loop")
    local plan = blocks.fields(dsl.block(loop, "profile", run.profile))
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    fidelity(run, plan)
    train(run, plan)
    beside_torch(run, plan)
    widths(run, loop)
    depth(run, loop, plan)
    operators(run, plan)
    transplant(run, plan)
    large(run, loop, plan)
    run:settle()
    run:crystallise("nanogpt_system_v2.dsl")
  end,
}
--< recipe

-- LoopLM on the CPU: the gate and its faults; the source's table at a scale that a processor can train, with every
-- ablation; what makes a model of four digits add a hundred; and where loops are needed. What is trained, for how long and
-- from how many seeds stands in the system's engineering_loop.
local blocks = require "lib.blocks"
local dsl = require "lib.dsl"
local models = require "lib.models"

local function merged(...)
  local all = {}
  for _, fields in ipairs { ... } do
    for key, value in pairs(fields) do all[key] = value end
  end
  all.variant, all.title = all.title or all.variant, nil -- a title names a variant and is no axis
  return all
end

local function range(first, last)
  local list = {}
  for i = first, last do list[#list + 1] = i end
  return list
end

-- One training run to be done: a label, axes, how it trains, and what is asked of it. On one thread: two runs at once keep
-- two cores busier than two threads that wait for each other at every small operator.
local function train(e, label, axes, training, seed, asked)
  local problem = merged(training, asked or {}, { seed = seed, threads = 1 })
  axes = merged({ variant = label }, axes) -- a variant is a name for the report and for predictions, and trains nothing
  e.trials[#e.trials + 1] = { label = label, config = axes, problem = problem }
end

-- What every experiment below reads: blocks of the engineering_loop, and the profile's plan.
local function open(run)
  local loop = dsl.block(run.system, "engineering_loop")
  local function fields(kind, name) return blocks.fields(dsl.block(loop, kind, name)) end
  local plan = fields("plan", run.profile)
  return {
    run = run, loop = loop, fields = fields, plan = plan, small = fields("axes", "small"),
    training = merged(fields("training", "small"), { steps = plan.steps }), arms = blocks.all(loop, "arm"), trials = {},
  }
end

-- L1 to L5 and L8: the source's models on the same problems, from several seeds. The looped one is also asked after other
-- numbers of loops than it was trained with, and decoded a token at a time, with halting and without.
local function source_models(e)
  for _, arm in ipairs(e.arms) do
    local axes = merged(e.small, blocks.fields(arm))
    for seed = 1, e.plan.seeds do
      local exam = { digits = range(1, e.plan.most_tested), problems = e.plan.problems, marks = true }
      local asked = { evaluate = { exam } }
      if arm.name == "loop" then
        exam.loops = e.plan.test_loops
        asked.evaluate[2] = merged(exam, { loops = { axes.loops } })
        local decoded = { digits = range(1, e.training.most_digits), problems = e.plan.decoded, marks = true }
        asked.decode = {
          decoded, merged(decoded, { threshold = 0.90, thinking_threshold = 0.999 }),
          merged(decoded, { threshold = 0, thinking_threshold = 0.999 }),
        }
      end
      train(e, "models", axes, e.training, seed, asked)
    end
  end
end

-- L1 under the source's protocol: some training problems are longer than the rest, and "beyond" begins later.
local function bridge(e)
  for _, name in ipairs { "gpt", "loop" } do
    local axes = merged(e.small, e.fields("arm", name), { protocol = "published" })
    for seed = 1, e.plan.bridge_seeds do
      train(e, "bridge", axes, merged(e.training, { steps = e.plan.bridge_steps }), seed,
        { evaluate = { { digits = range(1, e.plan.most_tested), problems = e.plan.problems, marks = true } } })
    end
  end
end

-- L9 and L10: one axis at a time, from the same seeds as the models.
local function ablations(e)
  local exam = { evaluate = { { digits = range(1, e.plan.most_tested), problems = e.plan.problems, marks = true } } }
  for seed = 1, e.plan.seeds do
    for _, change in ipairs { { inject = true }, { positions = "none" }, { positions = "none", inject = true } } do
      train(e, "injection", merged(e.small, change), e.training, seed, exam)
    end
    train(e, "decay", e.small, merged(e.training, e.fields("decay", "high")), seed, exam)
    local phased = merged(e.fields("decay", "phased"), { late_decay_from = e.plan.steps // 2 })
    train(e, "decay", e.small, merged(e.training, phased), seed, exam)
  end
end

-- L6: a wrong format is refused; on purpose, it gives the illusion. L11: masks off. L13: one batch.
local function faults(e)
  local digits = range(1, e.training.most_digits)
  local right = { digits = digits, problems = e.plan.problems }
  local gpt = merged(e.small, e.fields("arm", "gpt"))
  gpt.variant = "format"
  train(e, "format", gpt, e.training, 1, { evaluate = { merged(right, { reversed = false }) } })
  train(e, "format", gpt, e.training, 1,
    { evaluate = { right, merged(right, { reversed = false, on_purpose = true }) } })

  local unmasked = merged(e.fields("axes", "twelve"), e.fields("axes", "unmasked"))
  local training = merged(e.fields("training", "twelve"), e.fields("training", "unmasked"))
  for _, masked in ipairs { false, true } do
    train(e, "unmasked", merged(unmasked, { mask_operands = masked }), training, 1)
  end

  for _, arm in ipairs(e.arms) do
    train(e, "by_heart", merged(e.small, blocks.fields(arm)), merged(e.training, e.fields("training", "by_heart")), 1)
  end
end

-- L12: the model that adds a hundred digits, from several seeds, and what is left of it without each ingredient.
local function twelve(e)
  local axes, training = e.fields("axes", "twelve"), e.fields("training", "twelve")
  local function exam(digits)
    return { evaluate = {
      { digits = digits, problems = e.plan.problems }, { digits = e.plan.chains, set = "full_chains", problems = e.plan.problems },
    } }
  end
  for seed = 1, e.plan.twelve_seeds do train(e, "twelve", axes, training, seed, exam(e.plan.lengths)) end
  for _, without in ipairs(blocks.all(e.loop, "without")) do
    for seed = 1, e.plan.without_seeds do
      local changes = merged(blocks.fields(without))
      local steps = changes.steps
      changes.steps = nil
      local digits = changes.slots and { 4, 5, 6, 12 } or e.plan.short_lengths
      local asked = exam(digits)
      if changes.slots then asked.evaluate[2].digits = { 12 } end
      train(e, "without", merged(axes, changes), merged(training, { steps = steps }), seed, asked)
    end
  end
end

-- Where loops must matter: all digits in one pass, attention to neighbouring digits only.
local function one_pass(e)
  local axes = e.fields("axes", "one_pass")
  local training = merged(e.fields("training", "one_pass"), { steps = e.plan.one_pass_steps })
  for seed = 1, e.plan.one_pass_seeds do
    for _, name in ipairs { "loops", "static" } do
      local arm = e.fields("one_pass", name)
      local loops = name == "loops" and e.plan.one_pass_loops or nil
      local drawn = { least_loops = arm.least_loops, most_loops = arm.most_loops }
      arm.least_loops, arm.most_loops = nil, nil
      local function exam(set)
        return { digits = e.plan.one_pass_digits, set = set, problems = e.plan.one_pass_problems, loops = loops }
      end
      train(e, "one_pass", merged(axes, arm), merged(training, drawn), seed,
        { evaluate = { exam "chains", exam "random", exam "full_chains" } })
    end
  end
end

-- The published configurations: written down, and refused where they would take days.
local function paper_scale(e)
  for _, arm in ipairs(blocks.all(e.loop, "paper_arm")) do
    for _, protocol in ipairs { "published", "clean" } do
      local axes = merged(e.fields("axes", "paper"), blocks.fields(arm), { protocol = protocol })
      local steps = axes.steps
      axes.steps = nil
      for seed = 1, e.plan.paper_seeds do
        train(e, "paper_scale", axes, merged(e.fields("training", "paper"), { steps = steps }), seed,
          { evaluate = { { digits = range(1, 16), problems = 2000, marks = true, loops = axes.loops == 12 and { 12, 24 } or nil } } })
      end
    end
  end
end

-- L7: what the configurations count, at the published runs' width and at the width that the published numbers need.
local function count(e)
  for _, arm in ipairs(blocks.all(e.loop, "paper_arm")) do
    local axes = merged(e.fields("axes", "paper"), blocks.fields(arm))
    axes.steps = nil
    e.run:study("parameters", axes)
    e.run:study("parameters", merged(axes, { width = axes.width == 128 and 384 or 768 }))
  end
end

return {
  name = "looplm",
  system = "dsl/looplm_system_v3.dsl",
  seed = 1,
  inputs = models.with { "src/loop/trials.c" },
  report = "experiments/report/looplm.lua",
  experiment = function(run)
    local e = open(run)
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    run:study("entropy", e.fields("entropy", "small"))
    run:study("entropy", e.fields("entropy", "published"))
    run:study("entropy", e.fields("entropy", "clean"))
    count(e)
    faults(e)
    twelve(e)
    source_models(e)
    ablations(e)
    bridge(e)
    one_pass(e)
    paper_scale(e)
    run:evaluate_all(e.trials)
    run:settle()
    run:crystallise("looplm_system_v4.dsl")
  end,
}

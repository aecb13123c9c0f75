-- microGPT on the CPU: one seed, one set of names, and every engine's loss at every step.
local dsl = require "lib.dsl"

-- The scalar engine, for as many of the steps as the profile has patience, at the rate of the whole run.
local function run_atom(run, plan, problem)
  run:engine {
    label = "atom", script = "experiments/microgpt/atom.lua", config = { variant = "atom" }, samples = 20,
    problem = {
      dataset = problem.dataset, seed = problem.seed, steps = dsl.value(plan, "atom_steps"), schedule = problem.steps,
    },
  }
end

-- One seed is one run. Others tell whether it is a lucky one: single precision beside double, not timed for its own sake.
local function run_seeds(run, plan, problem)
  for seed = 1, dsl.value(plan, "other_seeds") do
    run:evaluate {
      label = "seeds", config = { variant = "single" }, options = { samples = 1, peer = false },
      problem = { dataset = problem.dataset, steps = problem.steps, seed = seed },
    }
  end
end

-- The Python original, when SPAK_MICROGPT_PY names a copy, up to as many lines as come before the end of that step, or,
-- when it may make all steps, to the end of its samples.
local LINES_BEFORE <const> = 3
local function run_python(run, plan, problem)
  local steps, lines = dsl.value(plan, "python_steps"), nil
  if steps < problem.steps then lines = steps + LINES_BEFORE end
  run:program {
    label = "python", command = { "python3", "-u", "$SPAK_MICROGPT_PY" }, files = { ["input.txt"] = { dataset = "names" } },
    versions = { { "python3", "--version" } }, max_lines = lines, timeout_s = 1200, optional = true,
  }
end

return {
  name = "microgpt",
  system = "dsl/microgpt_system_v1.dsl",
  seed = 42,
  data = { "names" },
  -- What it says depends on them: the generator and its use in Lua; who times the molecule, the atom and Python.
  inputs = {
    "experiments/lib/dsl.lua", "experiments/microgpt/atom.lua", "src/base/rng.c", "src/lua/random.c",
    "src/device/trial.c", "src/device/stats.c", "src/lua/api_engine.c", "src/lua/api_program.c",
  },
  report = "experiments/report/microgpt.lua",
  experiment = function(run)
    local loop = dsl.block(run.system, "engineering_loop")
    local plan = dsl.block(loop, "engines", run.profile)
    local problem = run:problem("reference")
    local options = run:options()
    options.peer = true -- single precision beside double, sample by sample
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    run:tune()
    run:evaluate { label = "molecule_f64", config = { variant = "exact" }, problem = problem, options = options }
    run:evaluate { label = "molecule_f32", config = { variant = "single" }, problem = problem, options = options }
    run_seeds(run, plan, problem)
    run_atom(run, plan, problem)
    run_python(run, plan, problem)
    run:study("samples")
    run:study("inference", { names = dsl.value(plan, "timed_names") })
    run:study("gradient_coverage")
    run:settle()
    run:crystallise("microgpt_system_v2.dsl")
  end,
}

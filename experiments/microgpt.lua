-- microGPT on the CPU: one seed, one set of names, and every engine's loss at every step.
local dsl = require "lib.dsl"

-- The scalar engine, as many steps as the profile has patience for.
local function run_atom(run, plan)
  run:engine {
    label = "atom", script = "experiments/microgpt/atom.lua", samples = 20,
    problem = { dataset = "names", steps = dsl.value(plan, "atom_steps"), seed = 42 },
  }
end

-- The Python original, when SPAK_MICROGPT_PY names a copy: as many lines as it prints in so many steps.
local function run_python(run, plan)
  run:program {
    label = "python_original", command = { "python3", "input.py" }, env = "SPAK_MICROGPT_PY", optional = true,
    max_lines = dsl.value(plan, "python_steps"), timeout_s = 600,
  }
end

return {
  name = "microgpt",
  system = "dsl/microgpt_system_v1.dsl",
  seed = 42,
  data = { "names" },
  inputs = { "experiments/lib/dsl.lua", "experiments/microgpt/atom.lua" },
  report = "experiments/report/microgpt.lua",
  experiment = function(run)
    local loop = dsl.block(run.system, "engineering_loop")
    local plan = dsl.block(loop, "engines", run.profile)
    local problem, options = run:problem("reference"), run:options()
    run:plan()
    run:gate()
    run:hypothesise()
    run:mutate()
    run:evaluate { label = "molecule_f64", config = { variant = "exact" }, problem = problem, options = options }
    run:evaluate { label = "molecule_f32", config = { variant = "single" }, problem = problem, options = options }
    run_atom(run, plan)
    run_python(run, plan)
    run:study("samples")
    run:study("inference")
    run:study("gradient_coverage")
    run:settle()
    run:crystallise("microgpt_system_v2.dsl")
  end,
}

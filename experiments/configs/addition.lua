-- A small LoopLM learns to add: one layer, run 4 to 12 times, operands of 1 to 4 digits.
return {
  name = "addition",
  model = { preset = "looplm-12", width = 64, hidden = 256 },
  task = { kind = "addition", layout = "single", protocol = "clean" },
  steps = 2000,
  batch = 128,
  seed = 1,
  least_loops = 4,
  most_loops = 12,
  rate = 1e-3,
  min_rate = 1e-4,
  warmup_steps = 100,
  weight_decay = 1e-4,
  validate_every = 250,
  checkpoint_every = 250,
}

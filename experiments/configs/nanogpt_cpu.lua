-- nanoGPT on a CPU, as its README has it: the small model that learns Shakespeare letter by letter in minutes.
return {
  name = "nanogpt_cpu",
  model = { preset = "nanogpt-cpu", dropout = 0 },
  task = { kind = "text", dataset = "tinyshakespeare", validation_share = 0.1 },
  steps = 2000,
  batch = 12,
  seed = 1337,
  rate = 1e-3,
  min_rate = 1e-4,
  warmup_steps = 100,
  beta1 = 0.9,
  beta2 = 0.99,
  weight_decay = 0.1,
  clip = 1,
  validate_every = 500,
  checkpoint_every = 500,
  keep = 2,
}

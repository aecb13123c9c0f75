-- nanoGPT's shakespeare_char: 10.7 million parameters, 5,000 steps of 64 windows. Minutes on a GPU, a day on two cores.
return {
  name = "shakespeare_char",
  model = { preset = "shakespeare-char", dropout = 0.2 },
  task = { kind = "text", dataset = "tinyshakespeare", validation_share = 0.1 },
  steps = 5000,
  batch = 64,
  seed = 1337,
  rate = 1e-3,
  min_rate = 1e-4,
  warmup_steps = 100,
  beta1 = 0.9,
  beta2 = 0.99,
  weight_decay = 0.1,
  clip = 1,
  validate_every = 250,
  checkpoint_every = 250,
  keep = 2,
}

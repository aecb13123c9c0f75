-- What the nanoGPT trace says: the training, the speed beside PyTorch, parity over depth and at odd widths, weights
-- that were carried over, where a step's time goes, the large model, the gate and its mutations.
local common = require "lib.report"
local stats = require "lib.stats"

local WINDOW <const> = 50 -- batches in a mean
local PUBLISHED_STEPS <const> = 500 -- claim N2
local README_STEPS <const> = 2000 -- nanoGPT's README
local SHOWN <const> = 56 -- characters of a text
local GIB <const> = 2 ^ 30

local function last_with(report, label) return common.last(common.trials(report, label)) end

local function measured(report, what)
  local words = ("profile %s, %s"):format(report.profile, what)
  local data = report.data.tinyshakespeare
  if data and data.origin == "builtin" then words = words .. ", on the built-in stand-in for tinyshakespeare" end
  return words
end

local function column(header, format)
  return { header = header, align = format and "right" or "left", format = format }
end

-- --- training ---

local function draw_loss(report, record)
  local rows, losses = {}, record.losses
  for i, loss in ipairs(losses) do rows[#rows + 1] = { "batch", i, loss } end
  for i = WINDOW, #losses do rows[#rows + 1] = { "mean", i - WINDOW // 2, common.mean(losses, i - WINDOW + 1, i) } end
  for _, at in ipairs(record.validations) do rows[#rows + 1] = { "validation", at.step, at.loss } end
  report:figure {
    name = "nanogpt_loss", columns = common.columns("series", "step", "loss"), rows = rows, series = "series",
    x = "step", refs = { report:ref(record) },
    vars = {
      window = WINDOW, start = math.log(record.training.model.vocab), machine = common.machine(report.hw),
      measured = measured(report, ("%d steps of %d times %d characters"):format(#losses, record.training.batch,
        record.training.len)),
    },
  }
end

local function report_training(report)
  local record = last_with(report, "train")
  if not record then return end
  local ref, losses = report:ref(record), record.losses
  local function put(name, value, format, unit)
    report:value(name, value, { refs = { ref }, format = format or "%.3f", unit = unit })
  end
  local q = common.quartiles(record.time_ms)
  put("parameters", record.parameters, "%d")
  put("steps", #losses, "%d")
  for _, name in ipairs { "layers", "heads", "width" } do put(name, record.training.model[name], "%d") end
  for _, name in ipairs { "batch", "len" } do put(name, record.training[name], "%d") end
  put("window", WINDOW, "%d")
  put("loss_first", losses[1])
  put("first_loss_least", record.first_loss_bound[1])
  put("first_loss_most", record.first_loss_bound[2])
  put("loss_last", common.mean(losses, math.max(1, #losses - WINDOW + 1), #losses))
  put("gradient_error_over_bound", record.gradient_error_over_bound, "%.2g")
  put("ms_training_step", q.median, "%.1f", "ms")
  put("gflops", record.gflops, "%.1f")
  if #losses >= PUBLISHED_STEPS then put("loss_500", common.mean(losses, PUBLISHED_STEPS - WINDOW + 1, PUBLISHED_STEPS)) end
  local rows, best = {}, math.huge
  for _, at in ipairs(record.validations) do
    best = math.min(best, at.loss)
    local near = at.step == 0 and losses[1] or common.mean(losses, math.max(1, at.step - WINDOW + 1), at.step)
    rows[#rows + 1] = { { value = at.step, ref = ref }, { value = near, ref = ref }, { value = at.loss, ref = ref } }
    if at.step == PUBLISHED_STEPS then put("validation_500", at.loss) end
    if at.step == README_STEPS then put("validation_2000", at.loss) end
  end
  if #rows > 0 then put("validation_last", record.validations[#rows].loss) end
  report:table {
    name = "nanogpt_training",
    caption = ("nanoGPT's CPU configuration: the loss over the last %d batches, and over the whole validation part")
      :format(WINDOW),
    columns = { column("steps", "%d"), column("training loss", "%.3f"), column("validation loss", "%.3f") },
    rows = rows,
  }
  draw_loss(report, record)
end

-- Both precisions from the same weights on the same batches.
local function report_fidelity(report)
  local of = {}
  for _, record in ipairs(common.trials(report, "fidelity")) do of[record.config.variant] = record end
  if not (of.cpu and of.oracle) then return end
  local refs, most = { report:ref(of.cpu), report:ref(of.oracle) }, 0
  for i, loss in ipairs(of.cpu.losses) do
    most = math.max(most, math.abs(loss - of.oracle.losses[i]) / of.oracle.losses[i])
  end
  report:value("fidelity_steps", #of.cpu.losses, { refs = refs, format = "%d" })
  report:value("deviation", most, { refs = refs, format = "%.1e" })
  local slower = stats.median(of.oracle.time_ms) / stats.median(of.cpu.time_ms)
  report:value("over_oracle", slower, { refs = refs, format = "%.1f" })
end

-- --- beside PyTorch ---

local ARMS <const> = {
  { key = "step", title = "training step" }, { key = "fused", title = "training step, PyTorch with fused AdamW" },
  { key = "forward", title = "forward pass" },
}

-- The rounds of an arm: the medians of both sides, and their quotients.
local function rounds_of(report, key)
  local ours, theirs, refs = {}, {}, {}
  for round = 1, math.huge do
    local torch = last_with(report, ("torch_%s_%d"):format(key, round))
    local beside = last_with(report, ("beside_torch_%s_%d"):format(key, round))
    if not (torch and beside and torch.reports and torch.reports[1]) then break end
    if torch.reports[1].parameters ~= beside.parameters then
      error(("record %d: PyTorch's model has %s parameters, ours %s"):format(torch.seq,
        tostring(torch.reports[1].parameters), tostring(beside.parameters)), 0)
    end
    ours[round], theirs[round] = stats.median(beside.time_ms), stats.median(torch.reports[1].time_ms)
    refs[#refs + 1], refs[#refs + 2] = report:ref(torch), report:ref(beside)
  end
  return ours, theirs, refs
end

local function report_speed(report)
  local rows = {}
  for _, arm in ipairs(ARMS) do
    local ours, theirs, refs = rounds_of(report, arm.key)
    if #ours > 0 then
      local ratio = common.quartiles(stats.quotients(theirs, ours))
      local mine, other = common.quartiles(ours), common.quartiles(theirs)
      common.spread(report, "ratio_" .. arm.key, { ratio = ratio.median, q1 = ratio.q1, q3 = ratio.q3 }, refs, "%.2f")
      report:value("ms_" .. arm.key, mine.median, { refs = refs, format = "%.1f", unit = "ms" })
      report:value("ms_torch_" .. arm.key, other.median, { refs = refs, format = "%.1f", unit = "ms" })
      rows[#rows + 1] = {
        arm.title, common.spread_cell(mine, "%.1f", refs[2]), common.spread_cell(other, "%.1f", refs[1]),
        common.spread_cell(ratio, "%.2f", refs[2]), { value = #ours, ref = refs[2] },
      }
    end
  end
  local alone = last_with(report, "train")
  if #rows == 0 then
    if not alone then return end
    rows[1] = {
      "training step", common.spread_cell(common.quartiles(alone.time_ms), "%.1f", report:ref(alone)), "not measured",
      "", "",
    }
  end
  report:table {
    name = "nanogpt_speed",
    caption = "nanoGPT's CPU configuration beside PyTorch in eager mode, in turn, on as many threads: medians over "
      .. "rounds (quartiles). Without PyTorch: over the steps of the training",
    columns = {
      column "", column("ours, ms", "%.1f"), column("PyTorch, ms", "%.1f"), column("times faster", "%.2f"),
      column("rounds", "%d"),
    },
    rows = rows,
  }
end

-- --- parity ---

local function draw_depth(report, list)
  local rows, titles, refs = {}, {}, {}
  for at, record in ipairs(list) do
    local o = record.options
    local tokens = o.len == 1 and "1 token" or ("%d tokens"):format(o.len)
    titles[at] = o.sharpness == 1 and tokens or ("%s, scores times %g"):format(tokens, o.sharpness)
    refs[at] = report:ref(record)
    for block, d in ipairs(record.result.blocks) do
      if d.relative > 0 then rows[#rows + 1] = { ("s%d"):format(at), block - 1, d.relative } end
    end
  end
  local o = list[1].options
  report:figure {
    name = "nanogpt_parity", columns = common.columns("series", "block", "relative"), rows = rows, series = "series",
    x = "block", positive = { "relative" }, refs = refs,
    vars = {
      titles = table.concat(titles, "|"), unit = 2 ^ -24, machine = common.machine(report.hw),
      measured = ("profile %s, %d layers, width %d"):format(report.profile, o.layers, o.width),
    },
  }
end

local function report_depth(report)
  local list = common.studies(report, "parity_over_depth")
  if #list == 0 then return end
  local rows, refs, most, relative, bound = {}, {}, 0, 0, 0
  for at, record in ipairs(list) do
    local r, ref, o = record.result, report:ref(record), record.options
    local last = r.blocks[#r.blocks]
    refs[at] = ref
    most = math.max(most, r.logits.largest)
    relative = math.max(relative, r.logits.relative)
    for _, block in ipairs(r.blocks) do relative = math.max(relative, block.relative) end
    bound = math.max(bound, r.bound)
    rows[at] = {
      { value = o.len, ref = ref }, { value = o.width, ref = ref }, { value = o.sharpness, ref = ref },
      { value = r.blocks[2].relative, ref = ref }, { value = last.relative, ref = ref },
      { value = last.largest, ref = ref }, { value = r.logits.largest, ref = ref },
    }
  end
  report:value("parity_largest", most, { refs = refs, format = "%.1e" })
  report:value("parity_relative", relative, { refs = refs, format = "%.1e" })
  report:value("parity_layers", list[1].options.layers, { refs = refs, format = "%d" })
  report:value("parity_width", list[1].options.width, { refs = refs, format = "%d" })
  report:value("parity_cases", #list, { refs = refs, format = "%d" })
  report:table {
    name = "nanogpt_parity",
    caption = "A GPT-2 with random gains and biases in single precision, against double precision",
    columns = {
      column("tokens", "%d"), column("width", "%d"), column("scores times", "%g"),
      column("first block, relative", "%.1e"), column("last block, relative", "%.1e"),
      column("its largest error", "%.1e"), column("largest of the logits", "%.1e"),
    },
    rows = rows,
  }
  draw_depth(report, list)
end

local function report_widths(report)
  local record = common.study(report, "odd_widths")
  if not record then return end
  local rows, ref, worst, most = {}, report:ref(record), 0, 0
  for i, w in ipairs(record.result.widths) do
    worst, most = math.max(worst, w.over_bound), math.max(most, w.largest)
    rows[i] = { { value = w.width, ref = ref }, { value = w.largest, ref = ref }, { value = w.over_bound, ref = ref } }
  end
  report:value("norm_over_bound", worst, { refs = { ref }, format = "%.2g" })
  report:value("norm_largest", most, { refs = { ref }, format = "%.1e" })
  report:value("norm_widths", #rows, { refs = { ref }, format = "%d" })
  report:table {
    name = "nanogpt_widths",
    caption = "LayerNorm against double precision: the largest error forward, and the worst error, forward and "
      .. "backward, over its bound",
    columns = { column("width", "%d"), column("largest error", "%.1e"), column("over its bound", "%.2g") }, rows = rows,
  }
end

local function report_transplant(report)
  local record = common.study(report, "transplant")
  if not record then return end
  local rows, r, ref, least = {}, record.result, report:ref(record), math.huge
  for i, text in ipairs(r.texts) do
    least = math.min(least, text.same)
    rows[i] = { text.by, { value = text.same, ref = ref } }
  end
  report:value("transplant_prompts", r.prompts, { refs = { ref }, format = "%d" })
  report:value("transplant_tokens", r.tokens, { refs = { ref }, format = "%d" })
  report:value("transplant_same", least, { refs = { ref }, format = "%d" })
  report:value("transplant_steps", record.options.steps, { refs = { ref }, format = "%d" })
  report:value("transplant_margin", r.smallest_margin, { refs = { ref }, format = "%.1e" })
  report:table {
    name = "nanogpt_transplant",
    caption = "Greedy text by trained weights that were exported and imported: tokens up to where each text parts from "
      .. "the trained model's",
    columns = { column "weights", column("tokens the same", "%d") }, rows = rows,
  }
  local function on_one_line(text) return (text:gsub("\n", " / ")) end
  local lines = {}
  for i, sample in ipairs(r.samples) do lines[i] = { on_one_line(sample[1]), on_one_line(sample[2]:sub(1, SHOWN)) } end
  report:table {
    name = "nanogpt_text", caption = "How these texts go on: the prompts, and the first characters after them",
    columns = { column "prompt", column "text" }, rows = lines,
  }
end

-- --- time and memory ---

local function report_operators(report)
  local record = common.study(report, "time_by_operator")
  if not record then return end
  local r, ref, list = record.result, report:ref(record), {}
  for _, op in ipairs(r.operators) do
    if op.ms > 0 then list[#list + 1] = op end
  end
  list[#list + 1] = { name = "outside the operators", ms = r.outside_ms, calls = 1 }
  table.sort(list, function(a, b) return a.ms > b.ms end)
  local rows, points = {}, {}
  for i, op in ipairs(list) do
    rows[i] = {
      op.name, { value = op.ms, ref = ref }, { value = 100 * op.ms / r.step_ms, ref = ref },
      { value = op.calls, ref = ref },
    }
    points[i] = { op.name, i, op.ms, 100 * op.ms / r.step_ms }
  end
  report:value("ms_clocked_step", r.step_ms, { refs = { ref }, format = "%.1f", unit = "ms" })
  report:value("linear_percent", 100 * r.linear_share, { refs = { ref }, format = "%.0f" })
  report:table {
    name = "nanogpt_operators", caption = "Where the time of a training step goes",
    columns = {
      column "operator", column("ms a step", "%.2f"), column("% of the step", "%.1f"), column("calls", "%.0f"),
    },
    rows = rows,
  }
  report:figure {
    name = "nanogpt_operators", columns = common.columns("operator", "place", "ms", "percent"), rows = points,
    x = "place", refs = { ref },
    vars = {
      machine = common.machine(report.hw), step_ms = r.step_ms,
      measured = measured(report, ("%d steps, %.1f ms each"):format(record.options.steps, r.step_ms)),
    },
  }
end

local function report_large(report)
  local record = common.study(report, "memory_and_time")
  if not record then return end
  local r, ref = record.result, report:ref(record)
  local function put(name, value, format, unit)
    report:value(name, value, { refs = { ref }, format = format, unit = unit })
  end
  local forward, step = stats.median(r.forward_ms), stats.median(r.step_ms)
  put("large_parameters", r.parameters, "%d")
  put("large_tokens", r.tokens, "%d")
  put("large_forward_s", forward / 1000, "%.2f", "s")
  put("large_step_s", step / 1000, "%.2f", "s")
  put("large_gflops", 3e-6 * r.forward_flop / step, "%.0f")
  put("large_planned_gib", r.plan.total / GIB, "%.2f", "GiB")
  put("large_peak_gib", r.peak_bytes / GIB, "%.2f", "GiB")
  local rows = {}
  for _, part in ipairs {
    { "parameters", r.plan.params }, { "gradients", r.plan.grads }, { "Adam's means", r.plan.optimiser },
    { "activations", r.plan.activations }, { "scratch", r.plan.scratch }, { "planned in all", r.plan.total },
    { "peak of the process", r.peak_bytes },
  } do rows[#rows + 1] = { part[1], { value = part[2] / 2 ^ 20, ref = ref } } end
  report:table {
    name = "nanogpt_memory",
    caption = ("Memory of a training step of %d parameters on %d tokens"):format(r.parameters, r.tokens),
    columns = { column "", column("MiB", "%.0f") }, rows = rows,
  }
end

return function(report)
  common.data_bytes(report, "tinyshakespeare", "tinyshakespeare_bytes")
  common.gate(report)
  common.mutations(report)
  common.knowledge(report)
  report_training(report)
  report_fidelity(report)
  report_speed(report)
  report_widths(report)
  report_depth(report)
  report_operators(report)
  report_transplant(report)
  report_large(report)
  common.predictions(report)
end

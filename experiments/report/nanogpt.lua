-- What the nanoGPT trace says: the training, the speed beside PyTorch, parity over depth and at odd widths, weights
-- that were carried over, where a step's time goes, the large model, the gate and its mutations.
local common = require "lib.report"
local stats = require "lib.stats"

local WINDOW <const> = 50 -- batches in a mean
local PUBLISHED_STEPS <const> = 500 -- claim N2
local README_STEPS <const> = 2000 -- nanoGPT's README
local SHOWN <const> = 44 -- characters of a text
local TEXTS <const> = 6 -- texts that are shown
local DEVIATIONS <const> = 2 -- standard deviations that two losses may be apart
local NEAR <const> = 1.25 -- times a step's time: further off, the machine was busy
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

-- 124439808 -> "124,439,808"
local function grouped(n)
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,")
  return (text:reverse():gsub("^,", ""))
end

-- The standard deviation of a sample.
local function deviation(list)
  local middle, square = common.mean(list, 1, #list), 0
  for _, x in ipairs(list) do square = square + (x - middle) ^ 2 end
  return math.sqrt(square / (#list - 1))
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

-- What a run ends with: the mean over its last batches, the whole validation part, and nanoGPT's estimate of it with
-- its standard error.
local function end_of(record)
  local losses, last = record.losses, record.validations[#record.validations]
  local batches = last.estimate
  return {
    step = last.step, training = common.mean(losses, math.max(1, #losses - WINDOW + 1), #losses), whole = last.loss,
    estimate = common.mean(batches, 1, #batches), noise = deviation(batches) / math.sqrt(#batches), batches = #batches,
  }
end

-- The same training from each seed. The published loss is one run's, estimated from some batches; so what ours may be
-- off by is the spread over seeds and the noise of such an estimate.
local function report_seeds(report, list)
  local rows, refs, whole, estimates, noise, ends = {}, {}, {}, {}, 0, nil
  for i, record in ipairs(list) do
    local ref = report:ref(record)
    ends = end_of(record)
    refs[i], whole[i], estimates[i], noise = ref, ends.whole, ends.estimate, noise + ends.noise ^ 2 / #list
    rows[i] = {
      { value = record.training.seed, ref = ref }, { value = ends.training, ref = ref },
      { value = ends.whole, ref = ref },
      { value = ends.estimate, ref = ref, text = ("%.3f ± %.3f"):format(ends.estimate, ends.noise) },
    }
  end
  local function put(name, value, format) report:value(name, value, { refs = refs, format = format or "%.3f" }) end
  put("seeds", #list, "%d")
  put("validation_last", common.mean(whole, 1, #whole))
  put("estimate_last", common.mean(estimates, 1, #estimates))
  put("estimate_noise", math.sqrt(noise))
  put("estimate_batches", ends.batches, "%d")
  if ends.step == README_STEPS then put("validation_2000", common.mean(whole, 1, #whole)) end
  if #list > 1 then
    put("seeds_deviation", deviation(whole))
    put("loss_tolerance", DEVIATIONS * math.sqrt(deviation(whole) ^ 2 + noise))
  end
  report:table {
    name = "nanogpt_seeds",
    caption = ("After %d steps from each seed: the loss over the last %d batches, over the whole validation part, and "
      .. "as nanoGPT estimates the latter, from %d random batches (± the standard error)"):format(ends.step, WINDOW,
      ends.batches),
    columns = {
      column("seed", "%d"), column("training", "%.3f"), column("validation", "%.3f"), column("estimate", "%.3f"),
    },
    rows = rows,
  }
end

local function report_training(report)
  local list = common.trials(report, "train")
  local record = list[1]
  if not record then return end
  local ref, losses = report:ref(record), record.losses
  local function put(name, value, format, unit, text)
    report:value(name, value, { refs = { ref }, format = format or "%.3f", unit = unit, text = text })
  end
  local q = common.quartiles(record.time_ms)
  put("parameters", record.parameters, nil, nil, grouped(record.parameters))
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
  if #losses >= PUBLISHED_STEPS then
    put("loss_500", common.mean(losses, PUBLISHED_STEPS - WINDOW + 1, PUBLISHED_STEPS))
  end
  local rows = {}
  for _, at in ipairs(record.validations) do
    local near = at.step == 0 and losses[1] or common.mean(losses, math.max(1, at.step - WINDOW + 1), at.step)
    rows[#rows + 1] = { { value = at.step, ref = ref }, { value = near, ref = ref }, { value = at.loss, ref = ref } }
    if at.step == PUBLISHED_STEPS then put("validation_500", at.loss) end
  end
  report:table {
    name = "nanogpt_training",
    caption = ("nanoGPT's CPU configuration, seed %d: the loss over the last %d batches, and over the whole validation "
      .. "part"):format(record.training.seed, WINDOW),
    columns = { column("steps", "%d"), column("training loss", "%.3f"), column("validation loss", "%.3f") },
    rows = rows,
  }
  report_seeds(report, list)
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

-- The rounds of an arm: the medians of both sides, their records, and PyTorch's version.
local function rounds_of(report, key)
  local ours, theirs, refs, version = {}, {}, {}, nil
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
    version = torch.reports[1].torch
  end
  return ours, theirs, refs, version
end

local SPEED_COLUMNS <const> = {
  column "", column("ours, ms", "%.1f"), column("PyTorch, ms", "%.1f"), column("times faster", "%.2f"),
  column("least and most", "%.2f"), column("rounds", "%d"),
}

local function speed_without_torch(report)
  local alone = last_with(report, "train")
  if not alone then return end
  report:table {
    name = "nanogpt_speed",
    caption = "nanoGPT's CPU configuration: the median over the steps of the training (quartiles). PyTorch is not "
      .. "installed, so nothing stands beside it",
    columns = SPEED_COLUMNS,
    rows = { {
      "training step", common.spread_cell(common.quartiles(alone.time_ms), "%.1f", report:ref(alone)), "not measured",
      "", "", "",
    } },
  }
end

local function report_speed(report)
  local rows, torch_version = {}, nil
  for _, arm in ipairs(ARMS) do
    local ours, theirs, refs, version = rounds_of(report, arm.key)
    if #ours > 0 then
      local quotients = stats.quotients(theirs, ours)
      local ratio, mine, other = common.quartiles(quotients), common.quartiles(ours), common.quartiles(theirs)
      local least, most = stats.quantile(quotients, 0), stats.quantile(quotients, 1)
      local function all(cell)
        cell.ref, cell.refs = refs[1], refs
        return cell
      end
      torch_version = version or torch_version
      common.spread(report, "ratio_" .. arm.key, { ratio = ratio.median, q1 = ratio.q1, q3 = ratio.q3 }, refs, "%.2f")
      report:value("ratio_" .. arm.key .. "_least", least, { refs = refs, format = "%.2f" })
      report:value("ratio_" .. arm.key .. "_most", most, { refs = refs, format = "%.2f" })
      report:value("ms_" .. arm.key, mine.median, { refs = refs, format = "%.1f", unit = "ms" })
      report:value("ms_torch_" .. arm.key, other.median, { refs = refs, format = "%.1f", unit = "ms" })
      rows[#rows + 1] = {
        arm.title, all(common.spread_cell(mine, "%.1f")), all(common.spread_cell(other, "%.1f")),
        all(common.spread_cell(ratio, "%.2f")),
        all { value = least, text = ("%.2f to %.2f"):format(least, most) }, all { value = #ours },
      }
    end
  end
  if #rows == 0 then return speed_without_torch(report) end
  report:table {
    name = "nanogpt_speed",
    caption = ("nanoGPT's CPU configuration beside PyTorch %s in eager mode, in turn, on as many threads: medians over "
      .. "rounds (quartiles), and the rounds where we were least and most ahead"):format(torch_version or ""),
    columns = SPEED_COLUMNS, rows = rows,
  }
end

-- --- parity ---

-- A line for each case, in a colour for each length; the legend names lengths alone.
local function draw_depth(report, record)
  local rows, titles, colours, colour_of, used = {}, {}, {}, {}, 0
  for at, case in ipairs(record.result.cases) do
    if not colour_of[case.len] then
      used = used + 1
      colour_of[case.len] = used
    end
    colours[at] = ("%d"):format(colour_of[case.len])
    titles[at] = case.sharpness ~= 1 and "" or case.len == 1 and "1 token" or ("%d tokens"):format(case.len)
    for block, d in ipairs(case.blocks) do
      if d.relative > 0 then rows[#rows + 1] = { ("s%d"):format(at), block - 1, d.relative } end
    end
  end
  local o = record.options
  report:figure {
    name = "nanogpt_parity", columns = common.columns("series", "block", "relative"), rows = rows, series = "series",
    x = "block", positive = { "relative" }, refs = { report:ref(record) },
    vars = {
      titles = table.concat(titles, "|"), colours = table.concat(colours, " "), sharp = o.sharp, unit = 2 ^ -24,
      machine = common.machine(report.hw),
      measured = ("profile %s, %d layers, width %d"):format(report.profile, o.layers, o.width),
    },
  }
end

local function report_depth(report)
  local record = common.study(report, "parity_over_depth")
  if not record then return end
  local ref, o, rows = report:ref(record), record.options, {}
  local logits, state, single = { plain = 0, sharp = 0 }, { plain = 0, sharp = 0 }, { plain = 0, sharp = 0 }
  for at, case in ipairs(record.result.cases) do
    local kind, last = case.sharpness == 1 and "plain" or "sharp", case.blocks[#case.blocks]
    logits[kind] = math.max(logits[kind], case.logits.largest)
    for _, block in ipairs(case.blocks) do
      state[kind], single[kind] = math.max(state[kind], block.relative), math.max(single[kind], block.largest)
    end
    rows[at] = {
      { value = case.len, ref = ref }, { value = case.sharpness, ref = ref },
      { value = case.blocks[2].relative, ref = ref },
      { value = last.relative, ref = ref }, { value = case.growth, ref = ref }, { value = last.largest, ref = ref },
      { value = case.logits.largest, ref = ref },
    }
  end
  local function put(name, value, format) report:value(name, value, { refs = { ref }, format = format }) end
  for _, kind in ipairs { "plain", "sharp" } do
    put("parity_logits_" .. kind, logits[kind], "%.1e")
    put("parity_state_" .. kind, state[kind], "%.1e")
    put("parity_single_" .. kind, single[kind], "%.1e")
    put("growth_" .. kind, record.result["growth_" .. kind], "%.3g")
  end
  put("parity_largest", math.max(logits.plain, logits.sharp), "%.1e")
  put("parity_layers", o.layers, "%d")
  put("parity_width", o.width, "%d")
  put("parity_sharp", o.sharp, "%g")
  put("parity_cases", #rows, "%d")
  report:table {
    name = "nanogpt_parity",
    caption = ("A GPT-2, %d wide, with random gains and biases in single precision, against double precision; "
      .. "relative: the root mean square of the error over that of the state"):format(o.width),
    columns = {
      column("tokens", "%d"), column("scores times", "%g"), column("first block, relative", "%.1e"),
      column("last block, relative", "%.1e"), column("growth", "%.3g"), column("its largest error", "%.1e"),
      column("largest of the logits", "%.1e"),
    },
    rows = rows,
  }
  draw_depth(report, record)
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
  local rows, r, ref, same, drawn = {}, record.result, report:ref(record), math.huge, math.huge
  local apart, from_cache = 0, 0
  for i, text in ipairs(r.texts) do
    same, drawn = math.min(same, text.same), math.min(drawn, text.same_drawn)
    apart = math.max(apart, text.apart, text.apart_drawn)
    from_cache = math.max(from_cache, text.from_cache)
    rows[i] = {
      text.by, { value = text.same, ref = ref }, { value = text.same_drawn, ref = ref },
      { value = math.max(text.apart, text.apart_drawn), ref = ref },
      { value = text.from_cache + text.from_cache_drawn, ref = ref },
    }
  end
  local function put(name, value, format)
    report:value(name, value, { refs = { ref }, format = format, text = not format and grouped(value) or nil })
  end
  put("transplant_prompts", r.prompts, "%d")
  put("transplant_tokens", r.tokens)
  put("transplant_contexts", r.contexts)
  put("transplant_contexts_drawn", r.contexts_drawn)
  put("transplant_from_cache", from_cache)
  put("transplant_same", same)
  put("transplant_same_drawn", drawn)
  put("transplant_apart", apart, "%.1e")
  put("transplant_temperature", r.temperature, "%.1f")
  put("transplant_steps", record.options.steps, "%d")
  put("transplant_margin", r.smallest_margin, "%.1e")
  report:table {
    name = "nanogpt_transplant",
    caption = ("Text by weights that were exported and imported, beside the trained model's own, which reads its whole "
      .. "context for each token: of %s tokens each, those up to where the texts part; the largest difference of a "
      .. "logit up to there; tokens of both kinds for which the cache was used"):format(grouped(r.tokens)),
    columns = {
      column "weights", column("the same, greedy", "%d"), column("the same, drawn", "%d"),
      column("logits apart", "%.1e"), column("by the cache", "%d"),
    },
    rows = rows,
  }
  local function start_of(text) return (text:sub(1, SHOWN):gsub("\n", " / ")) end
  local lines = {}
  for i = 1, math.min(TEXTS, #r.samples) do
    local sample = r.samples[i]
    lines[i] = { start_of(sample[1]), start_of(sample[2]), start_of(sample[3]) }
  end
  report:table {
    name = "nanogpt_text",
    caption = "How the first of these texts go on: the prompts, and the first characters after them",
    columns = { column "prompt", column "greedy", column "drawn" }, rows = lines,
  }
end

-- --- time and memory ---

local function report_operators(report)
  local record = common.study(report, "time_by_operator")
  if not record then return end
  local r, ref, list, parts = record.result, report:ref(record), {}, 0
  local alone = common.trials(report, "train")[1]
  list[1] = { name = "outside the operators", ms = r.outside_ms, calls = 1 }
  for _, op in ipairs(r.operators) do
    if op.ms > 0 then list[#list + 1] = op end
  end
  for _, op in ipairs(list) do parts = parts + op.ms end
  table.sort(list, function(a, b) return a.ms > b.ms end)
  local rows, points = {}, {}
  for i, op in ipairs(list) do
    local percent = 100 * op.ms / parts
    rows[i] = { op.name, { value = op.ms, ref = ref }, { value = percent, ref = ref }, { value = op.calls, ref = ref } }
    points[i] = { op.name, i, op.ms, percent }
  end
  local caption = ("Where the time of a training step goes, on %d threads: medians over the steps, each by itself; "
    .. "shares of their sum"):format(r.threads)
  report:value("ms_clocked_step", r.step_ms, { refs = { ref }, format = "%.1f", unit = "ms" })
  report:value("clocked_threads", r.threads, { refs = { ref }, format = "%d" })
  report:value("linear_percent", 100 * r.linear_share, { refs = { ref }, format = "%.0f" })
  report:value("rest_percent", 100 * (1 - r.linear_share), { refs = { ref }, format = "%.0f" })
  if alone then
    local times = r.step_ms / stats.median(alone.time_ms)
    report:value("clocked_times", times, { refs = { ref, report:ref(alone) }, format = "%.2f" })
    if times > NEAR or times < 1 / NEAR then
      caption = caption .. (". A step took %.1f times as long as in the training: take the shares, not the times")
        :format(times)
    end
  end
  report:table {
    name = "nanogpt_operators", caption = caption,
    columns = {
      column "operator", column("ms a step", "%.2f"), column("% of their sum", "%.1f"), column("calls", "%d"),
    },
    rows = rows,
  }
  report:figure {
    name = "nanogpt_operators", columns = common.columns("operator", "place", "ms", "percent"), rows = points,
    x = "place", refs = { ref },
    vars = {
      machine = common.machine(report.hw),
      measured = measured(report, ("%d steps of %.1f ms on %d threads"):format(record.options.steps, r.step_ms,
        r.threads)),
    },
  }
end

local function report_large(report)
  local record = common.study(report, "memory_and_time")
  if not record then return end
  local r, ref = record.result, report:ref(record)
  local function put(name, value, format, unit)
    local text = not format and grouped(value) or nil
    report:value(name, value, { refs = { ref }, format = format, unit = unit, text = text })
  end
  local forward, step = stats.median(r.forward_ms), stats.median(r.step_ms)
  put("large_parameters", r.parameters)
  put("large_tokens", r.tokens)
  put("large_passes", #r.step_ms, "%d")
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
    caption = ("Memory of a training step of %s parameters on %s tokens"):format(grouped(r.parameters),
      grouped(r.tokens)),
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

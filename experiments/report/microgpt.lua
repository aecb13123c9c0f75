-- What the microGPT trace says: the loss curves and how far they lie apart, the engines' speeds, the names, the gate and
-- its mutations, inference, and which parameters train.
local common = require "lib.report"
local stats = require "lib.stats"

local WINDOW <const> = 50 -- documents in a mean
local FLOOR <const> = 2 ^ -53 -- where a difference of nothing stands on a log axis
local CLAIMED <const> = 1e-5 -- the limit that claim C1 names
local AROUND <const> = 300 -- the step that claim G3 speaks of
local EITHER_SIDE <const> = 50

-- In the order of the figures and the tables. The double-precision molecule is what the others are compared with.
local ENGINES = {
  { key = "atom", label = "atom", title = "atom (Lua, scalars)" },
  { key = "f64", label = "molecule_f64", title = "molecule, double" },
  { key = "f32", label = "molecule_f32", title = "molecule, single" },
}

local function last_with(report, label)
  local found
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == label then found = record end
  end
  return found
end

-- engines[key] = {key, title, record, losses, ms = samples of the time of a step}. A sample is the mean over the steps of
-- a run, for every engine: documents differ in length, and a median over steps would be the time of a middling one. The
-- molecules make a run a sample; the scalar engines run once, and have one.
local function read_engines(report)
  local engines = {}
  for _, engine in ipairs(ENGINES) do
    local record = last_with(report, engine.label)
    if record and record.status == "ok" then
      engines[engine.key] = {
        key = engine.key, title = engine.title, record = record, losses = record.losses, ms = record.time_ms,
      }
    end
  end
  return engines
end

local function slice(list, from, to) return table.move(list, from, to, 1, {}) end

local function deviation(losses, reference, i) return math.abs(losses[i] - reference[i]) / math.abs(reference[i]) end

-- The largest relative difference over the steps that both ran, up to `last`.
local function largest(losses, reference, last)
  local most = 0
  for i = 1, math.min(#losses, #reference, last or math.huge) do
    most = math.max(most, deviation(losses, reference, i))
  end
  return most
end

local function refs_of(report, ...)
  local refs = {}
  for _, engine in ipairs { ... } do refs[#refs + 1] = report:ref(engine.record) end
  return refs
end

-- Words below a figure's title: what was run, on which data.
local function measured(report, engines)
  local steps = #engines.f64.losses
  local data = report.data.names
  local words = ("profile %s, %d steps, names.txt"):format(report.profile, steps)
  if data and data.origin == "builtin" then words = words .. " replaced by the built-in names" end
  return words
end

-- The engines that ran, in order, with the legend's texts.
local function present(engines)
  local list, titles = {}, {}
  for _, engine in ipairs(ENGINES) do
    local e = engines[engine.key]
    if e then
      local full = #e.losses == #engines.f64.losses
      list[#list + 1] = e
      titles[#titles + 1] = full and e.title or ("%s, %d steps"):format(e.title, #e.losses)
    end
  end
  return list, titles
end

local function draw_loss(report, engines)
  local list, titles = present(engines)
  local rows, shortest, raw = {}, math.huge, 1
  for at, e in ipairs(list) do
    shortest = math.min(shortest, #e.losses)
    if e.key == "f64" then raw = at end
    for i, loss in ipairs(e.losses) do
      rows[#rows + 1] = { e.key, i, loss, common.mean(e.losses, math.max(1, i - WINDOW + 1), i) }
    end
  end
  report:figure {
    name = "microgpt_loss",
    columns = common.columns("engine", "step", "loss", "mean"),
    rows = rows, series = "engine", x = "step", refs = refs_of(report, table.unpack(list)),
    vars = {
      window = WINDOW, near_first = math.max(1, shortest - 24), near_last = shortest, raw = raw,
      machine = common.machine(report.hw), measured = measured(report, engines), titles = table.concat(titles, "|"),
    },
  }
end

local function draw_deviation(report, engines)
  local rows, titles, list = {}, {}, { engines.f64 }
  for _, e in ipairs { engines.f32, engines.atom } do
    local most, reference = FLOOR, engines.f64.losses
    for i = 1, math.min(#e.losses, #reference) do
      local here = math.max(FLOOR, deviation(e.losses, reference, i))
      most = math.max(most, here)
      rows[#rows + 1] = { e.key, i, here, most }
    end
    titles[#titles + 1] = #e.losses == #reference and e.title or ("%s, %d steps"):format(e.title, #e.losses)
    list[#list + 1] = e
  end
  if #titles == 0 then return end
  report:figure {
    name = "microgpt_deviation",
    columns = common.columns("engine", "step", "deviation", "largest"),
    rows = rows, series = "engine", x = "step", positive = { "deviation", "largest" },
    refs = refs_of(report, table.unpack(list)),
    vars = {
      limit = CLAIMED, limit_title = "claim C1", floor = FLOOR, machine = common.machine(report.hw),
      measured = measured(report, engines), titles = table.concat(titles, "|"),
    },
  }
end

-- --- speed ---

-- What the lines of the Python original tell: the mean time between them, the losses as printed, and the names that it
-- drew in the end; nil when it was not measured.
local function read_python(report)
  local record = last_with(report, "python")
  local at, printed, names = {}, {}, {}
  for _, line in ipairs(record and record.lines or {}) do
    local loss = line.text:match("^step%s+%d+ /%s+%d+ | loss ([%d.]+)")
    if loss then at[#at + 1], printed[#printed + 1] = line.t_ms, loss end
    names[#names + 1] = line.text:match("^sample%s+%d+: (%a*)$")
  end
  if #at <= 10 then return nil end
  local ms = { (at[#at] - at[1]) / (#at - 1) }
  return { key = "python", title = "the Python original", record = record, ms = ms, printed = printed, names = names }
end

-- How many of the losses that Python printed are ours, to every digit printed.
local function as_printed(printed, losses)
  local same = 0
  for i, text in ipairs(printed) do
    local digits = #text:match("%.(%d*)$")
    if ("%." .. digits .. "f"):format(losses[i]) == text then same = same + 1 end
  end
  return same
end

-- How many times faster `fast` is than `slow`, with the quartiles of both at their worst.
local function times_faster(slow, fast)
  local a, b = common.quartiles(slow.ms), common.quartiles(fast.ms)
  return { ratio = a.median / b.median, q1 = a.q1 / b.q3, q3 = a.q3 / b.q1 }
end

local function put_ratio(report, name, slow, fast)
  common.spread(report, "ratio_" .. name, times_faster(slow, fast), refs_of(report, slow, fast), "%.0f")
end

local function tabulate_engines(report, engines, python)
  local rows, atom = {}, engines.atom
  local columns = {
    { header = "engine", align = "left" }, { header = "ms a step", align = "right", format = "%.4g" },
    { header = "quartile", align = "right", format = "%.4g" }, { header = "quartile", align = "right", format = "%.4g" },
    { header = "steps run", align = "right", format = "%d" },
    { header = "over the atom", align = "right", format = "%.0f" },
  }
  if python then
    columns[#columns + 1] = { header = "over Python", align = "right", format = "%.0f" }
    columns[#columns + 1] = { header = "losses as Python prints them", align = "right", format = "%d" }
  end
  local function ratio_to(slow, e)
    if not slow then return "not measured" end
    if slow == e then return "1" end
    local ratio = times_faster(slow, e).ratio
    return { value = ratio, ref = report:ref(e.record), text = ratio < 10 and ("%.2f"):format(ratio) or nil }
  end
  local function same_losses(losses)
    if not losses then return "" end
    local most = math.min(#losses, #python.printed)
    local same = as_printed(slice(python.printed, 1, most), losses)
    return { value = same, ref = report:ref(python.record), text = ("%d of %d"):format(same, most) }
  end
  for _, e in ipairs { python or false, atom or false, engines.f64, engines.f32 } do
    if e then
      local q, ref = common.quartiles(e.ms), report:ref(e.record)
      local once = #e.ms == 1
      local row = { e.title, { value = q.median, ref = ref }, once and "one run" or { value = q.q1, ref = ref },
        once and "" or { value = q.q3, ref = ref }, { value = #(e.losses or e.printed), ref = ref }, ratio_to(atom, e) }
      if python then row[#row + 1], row[#row + 2] = ratio_to(python, e), same_losses(e.losses) end
      rows[#rows + 1] = row
    end
  end
  report:table {
    name = "microgpt_engines",
    caption = "Time of a training step, the mean over a run (of several runs: median, quartiles), and how many times "
      .. "faster than the scalar engines"
      .. (python and "" or "; the Python original was not measured"),
    columns = columns, rows = rows,
  }
end

local function report_speed(report, engines, python)
  tabulate_engines(report, engines, python)
  for _, key in ipairs { "atom", "f64", "f32" } do
    local e = engines[key]
    if e then
      local refs, ms = refs_of(report, e), stats.median(e.ms)
      if key == "atom" then
        report:value("ms_atom", ms, { refs = refs, format = "%.1f", unit = "ms" })
      else
        report:value("us_" .. key, 1000 * ms, { refs = refs, format = "%.1f", unit = "µs" })
      end
    end
  end
  if engines.atom then
    put_ratio(report, "f64", engines.atom, engines.f64)
    put_ratio(report, "f32", engines.atom, engines.f32)
  end
  if engines.f32.record.peer_time_ms then -- sample by sample beside the double-precision molecule
    local s = common.speed(engines.f32.record, engines.f32.record.flop_per_step)
    common.spread(report, "ratio_f32_over_f64", s, refs_of(report, engines.f32), "%.3f")
  end
  if not python then return end
  report:value("python_losses", #python.printed, { refs = refs_of(report, python), format = "%d" })
  report:value("python_losses_same", as_printed(python.printed, engines.f64.losses),
    { refs = refs_of(report, python, engines.f64), format = "%d" })
  put_ratio(report, "python_atom", python, engines.atom)
  put_ratio(report, "python_f64", python, engines.f64)
  put_ratio(report, "python_f32", python, engines.f32)
  report:value("ms_python", stats.median(python.ms), { refs = refs_of(report, python), format = "%.1f", unit = "ms" })
end

-- --- losses ---

local function report_losses(report, engines)
  local losses, refs = engines.f64.losses, refs_of(report, engines.f64)
  local function put(name, value, format) report:value(name, value, { refs = refs, format = format or "%.3f" }) end
  put("steps", #losses, "%d")
  put("window", WINDOW, "%d")
  put("loss_first", losses[1])
  put("loss_last", losses[#losses])
  put("mean_first", common.mean(losses, 1, WINDOW))
  put("mean_last", common.mean(losses, #losses - WINDOW + 1, #losses))
  local from, to = AROUND - EITHER_SIDE, AROUND + EITHER_SIDE
  if to > #losses then return end
  local near = slice(losses, from, to)
  put("loss_300", losses[AROUND])
  put("mean_300", common.mean(losses, from, to))
  put("low_300", stats.quantile(near, 0.1))
  put("high_300", stats.quantile(near, 0.9))
  put("documents_300", #near, "%d")
end

local function report_agreement(report, engines)
  local reference, f32 = engines.f64.losses, engines.f32.losses
  local function put(name, value, engine)
    report:value(name, value, { refs = refs_of(report, engine, engines.f64), format = "%.1e" })
  end
  put("deviation_f32", largest(f32, reference), engines.f32)
  if not engines.atom then return end
  local first = math.min(100, #engines.atom.losses)
  report:value("agreement_steps", first, { refs = refs_of(report, engines.atom), format = "%d" })
  put("deviation_atom_100", largest(engines.atom.losses, reference, first), engines.atom)
  put("deviation_atom", largest(engines.atom.losses, reference), engines.atom)
  report:value("steps_atom", #engines.atom.losses, { refs = refs_of(report, engines.atom), format = "%d" })
end

-- The other seeds: how far single precision parts from double in each, and how many runs stay within the claim. A run
-- flips when a hidden unit is on in one precision and off in the other: from there on the two train apart.
local function report_seeds(report)
  local refs, within, flipped = {}, 0, 0
  local worst = { whole = 0, before = 0, unflipped = 0 }
  for _, record in ipairs(report.records) do
    -- a run that failed its check counts, and never as one within the claim
    if record.label == "seeds" and record.kind == "evaluate" and record.status ~= "refused" then
      local deviation, flip = record.loss_deviation or 0, record.first_flip ~= nil and record.first_flip ~= spak.null
      refs[#refs + 1] = report:ref(record)
      worst.whole = math.max(worst.whole, deviation)
      worst.before = math.max(worst.before, record.deviation_before_flip or 0)
      if not flip then worst.unflipped = math.max(worst.unflipped, deviation) end
      if flip then flipped = flipped + 1 end
      if record.status == "ok" and deviation <= CLAIMED then within = within + 1 end
    end
  end
  if #refs == 0 then return end
  report:value("seeds", #refs, { refs = refs, format = "%d" })
  report:value("seeds_within", within, { refs = refs, format = "%d" })
  report:value("seeds_flipped", flipped, { refs = refs, format = "%d" })
  report:value("deviation_seeds", worst.whole, { refs = refs, format = "%.1e" })
  report:value("deviation_before_flip", worst.before, { refs = refs, format = "%.1e" })
  report:value("deviation_unflipped", worst.unflipped, { refs = refs, format = "%.1e" })
end

-- --- names, inference, coverage ---

local function tabulate_names(report, engines, python)
  local record = common.study(report, "samples")
  if not record then return end
  local exact, single, atom = record.result.exact, record.result.single, engines.atom
  local complete = atom and #atom.losses == record.result.steps -- an atom that stopped early draws names of its own
  local columns, lists, compared = { { header = "", align = "right" } }, {}, {}
  local refs = { report:ref(record) }
  local function add(header, names, compare)
    columns[#columns + 1] = { header = header, align = "left" }
    lists[#lists + 1] = names
    if compare then compared[#compared + 1] = names end
  end
  if python and #python.names == #exact then
    add("the Python original", python.names, true)
    refs[#refs + 1] = report:ref(python.record)
  end
  if atom then
    add(complete and "atom" or ("atom, after %d steps only"):format(#atom.losses), atom.record.names, complete)
    if complete then refs[#refs + 1] = report:ref(atom.record) end
  end
  add("molecule, double", exact, true)
  add("molecule, single", single, true)
  columns[#columns + 1] = { header = "the same", align = "left" }
  local rows, same = {}, 0
  for i = 1, #exact do
    local row, equal = { ("%d"):format(i) }, true
    for at, names in ipairs(lists) do row[at + 1] = names[i] end
    for _, names in ipairs(compared) do equal = equal and names[i] == exact[i] end
    row[#row + 1] = equal and "yes" or "no"
    if equal then same = same + 1 end
    rows[i] = row
  end
  report:value("names", #exact, { refs = refs, format = "%d" })
  report:value("names_same", same, { refs = refs, format = "%d" })
  report:table {
    name = "microgpt_names",
    caption = "Names drawn after training, and whether all engines that were trained to the end drew the same",
    columns = columns, rows = rows,
  }
end

local function tabulate_inference(report)
  local record = common.study(report, "inference")
  if not record then return end
  local ref, rows = report:ref(record), {}
  for _, of in ipairs { { "exact", "double" }, { "single", "single" } } do
    local r = record.result[of[1]]
    rows[#rows + 1] = {
      of[2], { value = r.cached_names_per_s, ref = ref }, { value = r.recomputed_names_per_s, ref = ref },
      { value = r.ratio, ref = ref }, r.identical and "yes" or "NO",
    }
    report:value("names_per_second_" .. of[1], r.cached_names_per_s, { refs = { ref }, format = "%.0f" })
    report:value("ratio_cache_" .. of[1], r.ratio, { refs = { ref }, format = "%.2f" })
  end
  report:table {
    name = "microgpt_inference",
    caption = "Names a second with a cache of keys and values and without it",
    columns = {
      { header = "precision", align = "left" }, { header = "with", align = "right", format = "%.0f" },
      { header = "without", align = "right", format = "%.0f" }, { header = "ratio", align = "right", format = "%.2f" },
      { header = "the same names", align = "left" },
    },
    rows = rows,
  }
end

local function tabulate_coverage(report)
  local record = common.study(report, "gradient_coverage")
  if not record then return end
  local ref, rows = report:ref(record), {}
  for _, of in ipairs { { "sound", "nothing planted" }, { "only_output_trains", "only the output matrix trains" } } do
    local r = record.result[of[1]]
    rows[#rows + 1] = {
      of[2], { value = r.parameters, ref = ref }, { value = 100 * r.share, ref = ref },
      { value = r.loss_last_100, ref = ref }, { value = r.step_us, ref = ref },
    }
    report:value("share_" .. of[1], 100 * r.share, { refs = { ref }, format = "%.1f" })
    report:value("loss_" .. of[1], r.loss_last_100, { refs = { ref }, format = "%.3f" })
  end
  report:value("parameters", record.result.parameters, { refs = { ref }, format = "%d" })
  report:value("ratio_only_output", record.result.ratio, { refs = { ref }, format = "%.2f" })
  report:table {
    name = "microgpt_coverage",
    caption = "Single precision, with the fault behind the source's figure and without it",
    columns = {
      { header = "", align = "left" }, { header = "parameters with a gradient", align = "right", format = "%d" },
      { header = "% of all", align = "right", format = "%.1f" },
      { header = "loss, last 100 documents", align = "right", format = "%.3f" },
      { header = "µs a step", align = "right", format = "%.1f" },
    },
    rows = rows,
  }
end

return function(report)
  common.data_bytes(report, "names", "names_txt_bytes")
  common.gate(report)
  common.mutations(report)
  common.knowledge(report)
  local engines = read_engines(report)
  if not (engines.f64 and engines.f32) then return end -- killed before the molecules had run
  local python = read_python(report)
  draw_loss(report, engines)
  draw_deviation(report, engines)
  report_speed(report, engines, python)
  report_losses(report, engines)
  report_agreement(report, engines)
  report_seeds(report)
  tabulate_names(report, engines, python)
  tabulate_inference(report)
  tabulate_coverage(report)
  common.predictions(report)
end

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

local function study(report, name)
  local found
  for _, record in ipairs(report.records) do
    if record.label == "study" and record.study == name then found = record end
  end
  return found
end

-- engines[key] = {key, title, record, losses, ms = samples of the time of a step}
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

-- The mean over the documents from .. to.
local function mean(list, from, to)
  local total = 0
  for i = from, to do total = total + list[i] end
  return total / (to - from + 1)
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
      rows[#rows + 1] = { e.key, i, loss, mean(e.losses, math.max(1, i - WINDOW + 1), i) }
    end
  end
  report:figure {
    name = "microgpt_loss",
    columns = {
      { name = "engine", type = "text" }, { name = "step", type = "number" }, { name = "loss", type = "number" },
      { name = "mean", type = "number" },
    },
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
    titles[#titles + 1] = ("%s, %d steps"):format(e.title, math.min(#e.losses, #reference))
    list[#list + 1] = e
  end
  if #titles == 0 then return end
  report:figure {
    name = "microgpt_deviation",
    columns = {
      { name = "engine", type = "text" }, { name = "step", type = "number" },
      { name = "deviation", type = "number" }, { name = "largest", type = "number" },
    },
    rows = rows, series = "engine", x = "step", positive = { "deviation", "largest" },
    refs = refs_of(report, table.unpack(list)),
    vars = {
      limit = CLAIMED, limit_title = "claim C1", floor = FLOOR, machine = common.machine(report.hw),
      measured = measured(report, engines), titles = table.concat(titles, "|"),
    },
  }
end

-- --- speed ---

local function quartiles(samples)
  return { q1 = stats.quantile(samples, 0.25), median = stats.median(samples), q3 = stats.quantile(samples, 0.75) }
end

-- The times between the lines of the Python original, whose lines each tell one step; nil when it was not measured.
local function read_python(report)
  local record
  for _, r in ipairs(report.records) do
    if r.label == "python_original" then record = r end
  end
  if not record or not record.lines then return nil, record end
  local at = {}
  for _, line in ipairs(record.lines) do
    local step = line.text:match("^step%s+(%d+)")
    if step then at[#at + 1] = line.t_ms end
  end
  local samples = {}
  for i = 2, #at do samples[#samples + 1] = at[i] - at[i - 1] end
  if #samples < 10 then return nil, record end
  return { key = "python", title = "the Python original", record = record, ms = samples, steps = #at }
end

-- How many times faster `fast` is than `slow`, with the quartiles of both at their worst.
local function times_faster(slow, fast)
  local a, b = quartiles(slow.ms), quartiles(fast.ms)
  return { ratio = a.median / b.median, q1 = a.q1 / b.q3, q3 = a.q3 / b.q1 }
end

local function put_ratio(report, name, slow, fast)
  local s, refs = times_faster(slow, fast), refs_of(report, slow, fast)
  report:value("ratio_" .. name, s.ratio, { refs = refs, format = "%.0f" })
  report:value("ratio_" .. name .. "_q1", s.q1, { refs = refs, format = "%.0f" })
  report:value("ratio_" .. name .. "_q3", s.q3, { refs = refs, format = "%.0f" })
end

local function tabulate_engines(report, engines, python)
  local rows, peer = {}, engines.atom
  local function ratio_to(slow, e)
    if not slow then return "not measured" end
    if slow == e then return "1" end
    return { value = times_faster(slow, e).ratio, ref = report:ref(e.record) }
  end
  for _, key in ipairs { "python", "atom", "f64", "f32" } do
    local e = key == "python" and python or engines[key]
    if e then
      local q, ref = quartiles(e.ms), report:ref(e.record)
      rows[#rows + 1] = {
        e.title, { value = q.median, ref = ref }, { value = q.q1, ref = ref }, { value = q.q3, ref = ref },
        ratio_to(peer, e), ratio_to(python, e), { value = e.steps or #e.losses, ref = ref },
      }
    else
      rows[#rows + 1] = { "the Python original", "not measured", "", "", "", "", "" }
    end
  end
  report:table {
    name = "microgpt_engines",
    caption = "Time of a training step, in milliseconds, and how many times faster than the scalar engines",
    columns = {
      { header = "engine", align = "left" }, { header = "median", align = "right", format = "%.4g" },
      { header = "quartile", align = "right", format = "%.4g" }, { header = "quartile", align = "right", format = "%.4g" },
      { header = "over the atom", align = "right", format = "%.0f" },
      { header = "over Python", align = "right", format = "%.0f" }, { header = "steps run", align = "right", format = "%d" },
    },
    rows = rows,
  }
end

local function report_speed(report, engines, python)
  tabulate_engines(report, engines, python)
  for _, key in ipairs { "atom", "f64", "f32" } do
    local e = engines[key]
    if e then
      local refs, median = refs_of(report, e), stats.median(e.ms)
      report:value("ms_" .. key, median, { refs = refs, format = "%.1f", unit = "ms" })
      report:value("us_" .. key, median * 1000, { refs = refs, format = "%.1f", unit = "µs" })
    end
  end
  if engines.atom then
    put_ratio(report, "f64", engines.atom, engines.f64)
    put_ratio(report, "f32", engines.atom, engines.f32)
  end
  local s = times_faster(engines.f64, engines.f32)
  report:value("ratio_f32_over_f64", s.ratio, { refs = refs_of(report, engines.f64, engines.f32), format = "%.2f" })
  if not python then return end
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
  put("mean_first", mean(losses, 1, WINDOW))
  put("mean_last", mean(losses, #losses - WINDOW + 1, #losses))
  local from, to = AROUND - EITHER_SIDE, AROUND + EITHER_SIDE
  if to > #losses then return end
  local near = slice(losses, from, to)
  put("loss_300", losses[AROUND])
  put("mean_300", mean(losses, from, to))
  put("low_300", stats.quantile(near, 0.1))
  put("high_300", stats.quantile(near, 0.9))
  put("documents_300", #near, "%d")
end

local function report_agreement(report, engines)
  local reference, f32 = engines.f64.losses, engines.f32.losses
  local function put(name, value, engine)
    report:value(name, value, { refs = refs_of(report, engine, engines.f64), format = "%.1e" })
  end
  put("deviation_f32_100", largest(f32, reference, 100), engines.f32)
  put("deviation_f32", largest(f32, reference), engines.f32)
  report:value("claimed_error", CLAIMED, { refs = refs_of(report, engines.f32), format = "%.0e" })
  if not engines.atom then return end
  put("deviation_atom_100", largest(engines.atom.losses, reference, 100), engines.atom)
  put("deviation_atom", largest(engines.atom.losses, reference), engines.atom)
  report:value("steps_atom", #engines.atom.losses, { refs = refs_of(report, engines.atom), format = "%d" })
end

return function(report)
  common.gate(report)
  common.knowledge(report)
  local engines = read_engines(report)
  if not (engines.f64 and engines.f32) then return end -- killed before the molecules had run
  local python = read_python(report)
  draw_loss(report, engines)
  draw_deviation(report, engines)
  report_speed(report, engines, python)
  report_losses(report, engines)
  report_agreement(report, engines)
  common.predictions(report)
end

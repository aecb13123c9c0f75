-- What the reports of all operators say in the same way: checked speeds, and the tables of the gate, the faults planted
-- in it, the search, the predictions and the knowledge. Tables carry the report's own name.
local stats = require "lib.stats"

local M = {}

-- What a record says of itself must follow from its samples.
function M.must_agree(record, what, stated, computed)
  if math.abs(stated / computed - 1) > 1e-6 then
    error(("record %d: its %s is %g, but its samples give %g"):format(record.seq, what, stated, computed), 0)
  end
end

-- The speed of one trial, of flop operations a run; beside a peer with the median and the quartiles of the quotients
-- over its pairs of samples.
function M.speed(record, flop)
  M.must_agree(record, "gflops", record.gflops, 1e-6 * flop / stats.median(record.time_ms))
  if not record.peer_time_ms then return { gflops = record.gflops, record = record } end
  local pairs_of_samples = stats.quotients(record.peer_time_ms, record.time_ms)
  local ratio = stats.median(pairs_of_samples)
  M.must_agree(record, "ratio", record.ratio, ratio)
  return {
    ratio = ratio,
    q1 = stats.quantile(pairs_of_samples, 0.25),
    q3 = stats.quantile(pairs_of_samples, 0.75),
    gflops = record.gflops,
    record = record,
  }
end

-- How a small number is written in a sentence.
function M.in_words(number)
  return ({ "one", "two", "three", "four", "five", "six", "seven", "eight" })[number] or ("%d"):format(number)
end

-- The machine in a figure's words.
function M.machine(hw)
  local words = { hw.model or hw.id }
  if hw.microarchitecture then words[#words + 1] = hw.microarchitecture end
  if hw.isa then words[#words + 1] = hw.isa end
  return table.concat(words, ", ")
end

-- How the trials of a figure were measured; records: its trials.
function M.measured(report, records)
  local fewest, most = math.huge, 0
  for _, record in ipairs(records) do
    fewest, most = math.min(fewest, record.options.samples), math.max(most, record.options.samples)
  end
  local samples = fewest == most and ("%d"):format(most) or ("%d to %d"):format(fewest, most)
  return ("profile %s, %s samples a point (median, quartiles)"):format(report.profile, samples)
end

function M.quartiles(samples)
  return { q1 = stats.quantile(samples, 0.25), median = stats.median(samples), q3 = stats.quantile(samples, 0.75) }
end

-- s, which has ratio, q1 and q3, as the values KEY, KEY_q1 and KEY_q3.
function M.spread(report, key, s, refs, format)
  report:value(key, s.ratio, { refs = refs, format = format })
  report:value(key .. "_q1", s.q1, { refs = refs, format = format })
  report:value(key .. "_q3", s.q3, { refs = refs, format = format })
end

-- The trials with a label that ran to their end; where (or nil): what else must hold of a record.
function M.trials(report, label, where)
  local list = {}
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == label and record.status == "ok"
      and (not where or where(record)) then
      list[#list + 1] = record
    end
  end
  return list
end

-- The records of a study in their order.
function M.studies(report, name)
  local list = {}
  for _, record in ipairs(report.records) do
    if record.label == "study" and record.study == name then list[#list + 1] = record end
  end
  return list
end

-- The last of them, or nil.
function M.last(list) return list[#list] end
function M.study(report, name) return M.last(M.studies(report, name)) end

-- The mean of list[from .. to].
function M.mean(list, from, to)
  local total = 0
  for i = from, to do total = total + list[i] end
  return total / (to - from + 1)
end

-- The size of a data set as the value `key`; there only when the run read the set itself: a claim about it needs this.
function M.data_bytes(report, name, key)
  local data = report.data[name]
  if not data or data.origin == "builtin" then return end
  report:value(key, data.bytes, { refs = { report:ref(report.records[1]) }, format = "%d" })
end

-- What a column of names and one of numbers are called in a figure's data.
function M.columns(text, ...)
  local columns = { { name = text, type = "text" } }
  for i, name in ipairs { ... } do columns[i + 1] = { name = name, type = "number" } end
  return columns
end

-- A cell with the median and, in brackets, the quartiles.
function M.spread_cell(q, format, ref)
  local text = ("%s (%s to %s)"):format(format, format, format):format(q.median, q.q1, q.q3)
  return { value = q.median, text = text, ref = ref }
end

-- What became of the predictions.
function M.predictions(report)
  local rows = {}
  for _, record in ipairs(report.records) do
    if record.kind == "insight" and record.predict then
      local ref = report:ref(record)
      rows[#rows + 1] = {
        (record.name:gsub("_", " ")),
        { value = record.within[1], ref = ref }, { value = record.within[2], ref = ref },
        record.pairs > 0 and { value = record.measured, ref = ref } or "nothing to compare",
        record.outcome,
      }
    end
  end
  if #rows == 0 then return end
  report:table {
    name = report.name .. "_predictions",
    caption = "Predictions, written down before the trials, and what became of them",
    columns = {
      { header = "prediction", align = "left" }, { header = "at least", align = "right", format = "%.2f" },
      { header = "at most", align = "right", format = "%.2f" }, { header = "measured", align = "right", format = "%.2f" },
      { header = "outcome", align = "left" },
    },
    rows = rows,
  }
end

-- The gate's outcome, and how many cases it ran.
function M.gate(report)
  local rows, cases, refs = {}, 0, {}
  for _, record in ipairs(report.records) do
    if record.kind == "invariant" then
      local ref = report:ref(record)
      rows[#rows + 1] = {
        (record.invariant:gsub("_", " ")), record.statement, { value = record.evidence.cases, ref = ref },
        record.holds and "holds" or "FAILS",
      }
      cases = cases + record.evidence.cases
      refs[#refs + 1] = ref
    end
  end
  report:value("invariant_cases", cases, { refs = refs, format = "%d" })
  report:table {
    name = report.name .. "_gate",
    caption = "The gate: invariants run on the CPU before any trial",
    columns = {
      { header = "invariant", align = "left" }, { header = "statement", align = "left" },
      { header = "cases", align = "right", format = "%d" }, { header = "outcome", align = "left" },
    },
    rows = rows,
  }
end

-- What an invariant found, in a table's words.
local function found_by(record)
  if not record.caught then return "nothing" end
  local what = (record.counterexample or {}).what or "a counterexample"
  return (what:gsub("%-?%f[%a]nan%f[%A]", "NaN"))
end

-- The gate tried on planted faults: which invariant caught each, and what it found.
function M.mutations(report)
  local rows, refs, caught = {}, {}, 0
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "mutation" then
      local ref = report:ref(record)
      rows[#rows + 1] = {
        (record.fault:gsub("_", " ")), record.what, record.caught and (record.by:gsub("_", " ")) or "MISSED",
        found_by(record), { value = record.seconds, ref = ref },
      }
      refs[#refs + 1] = ref
      if record.caught then caught = caught + 1 end
    end
  end
  if #rows == 0 then return end
  report:value("faults_planted", #rows, { refs = refs, format = "%d" })
  report:value("faults_caught", caught, { refs = refs, format = "%d" })
  report:value("share_caught", 100 * caught / #rows, { refs = refs, format = "%.0f" })
  report:table {
    name = report.name .. "_mutations",
    caption = "The gate tried on planted faults",
    columns = {
      { header = "planted fault", align = "left" }, { header = "what it does", align = "left" },
      { header = "caught by", align = "left" }, { header = "found", align = "left" },
      { header = "seconds", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
end

-- The search's best configuration, axis by axis, and how many trials it took.
function M.search(report)
  for _, record in ipairs(report.records) do
    if record.kind == "converge" then
      local ref, rows = report:ref(record), {}
      for axis, value in pairs(record.best) do
        rows[#rows + 1] = { axis, type(value) == "number" and { value = value, ref = ref } or value }
      end
      report:table {
        name = report.name .. "_best",
        caption = "The best configuration that the search met",
        columns = { { header = "axis", align = "left" }, { header = "value", align = "right", format = "%d" } },
        rows = rows,
      }
      report:value("trials", record.trials, { refs = { ref }, format = "%d" })
      report:value("trials_refused", record.refused, { refs = { ref }, format = "%d" })
      report:value("trials_failed", record.failed, { refs = { ref }, format = "%d" })
    end
  end
end

-- 'dsl/matmul_system_v3.dsl' -> 'matmul system v3'
local function system_name(file)
  return (file:gsub("^.*/", ""):gsub("%.dsl$", ""):gsub("_", " "))
end

-- What of the knowledge that the plan uses was inherited, changed or new; the last plan counts.
function M.knowledge(report)
  local plan
  for _, record in ipairs(report.records) do
    if record.kind == "plan" and record.knowledge then plan = record end
  end
  if not plan then return end
  local ref, rows, count = report:ref(plan), {}, {}
  for _, list in ipairs { "inherited", "changed", "new", "outside" } do
    local entries = plan.knowledge[list]
    count[list] = #entries
    report:value("knowledge_" .. list, #entries, { refs = { ref }, format = "%d" })
    for _, entry in ipairs(list ~= "outside" and entries or {}) do
      rows[#rows + 1] = { (entry.name:gsub("_", " ")), entry.kind, system_name(entry.from), list }
    end
  end
  local used = count.inherited + count.changed + count.new
  report:value("knowledge_used", used, { refs = { ref }, format = "%d" })
  report:value("share_inherited", count.inherited / used, { refs = { ref }, format = "%.2f" })
  report:value("share_changed", count.changed / used, { refs = { ref }, format = "%.2f" })
  report:value("share_new", count.new / used, { refs = { ref }, format = "%.2f" })
  report:table {
    name = report.name .. "_knowledge",
    caption = "The knowledge that the plan uses, and where it comes from",
    columns = {
      { header = "item", align = "left" }, { header = "kind", align = "left" },
      { header = "from", align = "left" }, { header = "here", align = "left" },
    },
    rows = rows,
  }
end

return M

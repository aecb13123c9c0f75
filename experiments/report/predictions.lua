-- What became of the predictions on the GPU, pair by pair: a median over pairs hides that they may lie apart, and a pair
-- is formed over what was asked for, so that the model may have filled in different tiles.
local common = require "lib.report"
local stats = require "lib.stats"

local NOISE <const> = 0.02 -- relative; a median that is no further from a bound might lie on its other side

local WORDS <const> = { ["true"] = true, ["false"] = false }

local function literal(text)
  if WORDS[text] ~= nil then return WORDS[text] end
  return tonumber(text) or text:match('^"(.*)"$')
end

-- `NAME == LITERAL and NAME == LITERAL ...` as { NAME = LITERAL }; nil for another condition.
local function parse_condition(text)
  local condition = {}
  for part in (text .. " and "):gmatch("(.-) and ") do
    local name, value = part:match("^([%w_]+) == (%S+)$")
    if not name or literal(value) == nil then return nil end
    condition[name] = literal(value)
  end
  return condition
end

-- `ratio(METRIC, CONDITION, CONDITION)` or `paired(METRIC, METRIC, CONDITION)`; of the latter's condition nothing is
-- asked, for its record names the trials one by one.
local function parse(record)
  local code = record.predict
  local above, below = code:match("^paired%(([%w_]+), ([%w_]+), .*%)$")
  if above then return { above = above, below = below } end
  local metric, first, second = code:match("^ratio%(([%w_]+), ([^,]*), ([^,]*)%)$")
  local p = metric and { metric = metric, first = parse_condition(first), second = parse_condition(second), axes = {} }
  if not (p and p.first and p.second) then
    error(("record %d: cannot read its prediction: %s"):format(record.seq, code), 0)
  end
  for _, side in ipairs { p.first, p.second } do
    for name in pairs(side) do p.axes[name] = true end
  end
  p.following = { consumers = p.axes.tile_m or nil } -- a warpgroup for each so many rows of a tile
  for name in pairs(p.axes) do p.following[name] = true end
  return p
end

-- A table's members in one text, without those in `axes`; the same for tables that are equal but there.
local function without(value, axes)
  if type(value) ~= "table" then return tostring(value) end
  local list = {}
  for key, inner in pairs(value) do
    if not axes[key] then list[#list + 1] = ("%s=%s"):format(key, without(inner, axes)) end
  end
  table.sort(list)
  return "{" .. table.concat(list, ",") .. "}"
end

local function holds(condition, trial)
  for name, value in pairs(condition) do
    local found = trial.config[name]
    if found == nil then found = trial.problem[name] end
    if found ~= value then return false end
  end
  return true
end

local function samples(metric) return type(metric) == "table" and metric or { metric } end

-- Two metrics of one trial, sample by sample.
local function within_trials(report, record, p)
  local list, wanted = {}, {}
  for _, ref in ipairs(record.refs) do wanted[ref] = true end
  for _, trial in ipairs(report.records) do
    if wanted[report:ref(trial)] then
      list[#list + 1] = {
        first = trial, second = trial,
        quotient = stats.median(stats.quotients(samples(trial[p.above]), samples(trial[p.below]))),
      }
    end
  end
  return list
end

-- The pairs behind a record of a prediction, as the run formed them: {first =, second =, quotient =, alike = whether
-- the configurations that ran differ in nothing but what the conditions name}; and whether the pairs are of two steps, or
-- within a trial, where nobody asks for that.
local function pairs_of(report, record)
  local p, list, sides = parse(record), {}, {}
  if p.above then return within_trials(report, record, p), true end
  for _, trial in ipairs(report.records) do
    if (trial.kind == "evaluate" or trial.kind == "measure") and trial.status == "ok" and trial.config then
      local first, second = holds(p.first, trial), holds(p.second, trial)
      if first or second then
        local asked = trial.kind == "evaluate" and trial.asked or trial.config
        local key = without(asked, p.axes) .. without(trial.problem, p.axes)
        sides[#sides + 1] = { trial = trial, first = first, second = second, key = key }
      end
    end
  end
  for _, a in ipairs(sides) do
    for _, b in ipairs(a.first and sides or {}) do
      if a ~= b and b.second and a.key == b.key then
        list[#list + 1] = {
          first = a.trial, second = b.trial, quotient = a.trial[p.metric] / b.trial[p.metric],
          alike = without(a.trial.config, p.following) == without(b.trial.config, p.following),
        }
      end
    end
  end
  return list, p.axes.variant
end

local function quotients_of(list, where)
  local quotients = {}
  for _, pair in ipairs(list) do
    if not where or where(pair) then quotients[#quotients + 1] = pair.quotient end
  end
  return quotients
end

local function refs_of(report, list)
  local refs, seen = {}, {}
  for _, pair in ipairs(list) do
    for _, trial in ipairs { pair.first, pair.second } do
      local ref = report:ref(trial)
      if not seen[ref] then seen[ref] = true; refs[#refs + 1] = ref end
    end
  end
  return refs
end

-- How many pairs there are and how far they reach, as values of this key; alike: those that differ in what the
-- conditions name alone.
local function report_spread(report, key, list, steps)
  local refs = refs_of(report, list)
  local function values(prefix, quotients)
    report:value(prefix .. "pairs_" .. key, #quotients, { refs = refs, format = "%d" })
    if #quotients == 0 then return end
    report:value(prefix .. "lowest_" .. key, stats.quantile(quotients, 0), { refs = refs, format = "%.2f" })
    report:value(prefix .. "highest_" .. key, stats.quantile(quotients, 1), { refs = refs, format = "%.2f" })
  end
  values("", quotients_of(list))
  if not steps then values("alike_", quotients_of(list, function(pair) return pair.alike end)) end
end

local function near_a_bound(record)
  for _, bound in ipairs(record.within) do
    if math.abs(record.measured / bound - 1) < NOISE then return true end
  end
  return false
end

-- One prediction's row, and its values: predicted_KEY_least, predicted_KEY_most, measured_KEY, outcome_KEY (in words)
-- and those of its pairs.
local function report_one(report, record, key)
  local ref = report:ref(record)
  local function cell(number, format) return { value = number, text = format:format(number), ref = ref } end
  report:value(("predicted_%s_least"):format(key), record.within[1], { refs = { ref }, format = "%.2f" })
  report:value(("predicted_%s_most"):format(key), record.within[2], { refs = { ref }, format = "%.2f" })
  local row = { (record.name:gsub("_", " ")), cell(record.within[1], "%.2f"), cell(record.within[2], "%.2f") }
  if record.pairs == 0 then
    table.move({ "nothing to compare", "", "", "", "", record.outcome }, 1, 6, 4, row)
    return row
  end
  local list, steps = pairs_of(report, record)
  common.must_agree(record, "number of pairs", record.pairs, #list)
  local quotients, alike = quotients_of(list), quotients_of(list, function(pair) return pair.alike end)
  common.must_agree(record, "measured", record.measured, stats.median(quotients))
  local outcome = record.outcome .. (near_a_bound(record) and ", within the noise" or "")
  report:value("measured_" .. key, record.measured, { refs = { ref }, format = "%.3f" })
  report:value("outcome_" .. key, record.measured, { refs = { ref }, text = outcome })
  report_spread(report, key, list, steps)
  table.move({
    cell(record.measured, "%.3f"), cell(stats.quantile(quotients, 0), "%.3f"),
    cell(stats.quantile(quotients, 1), "%.3f"), cell(#list, "%d"), steps and "" or cell(#alike, "%d"), outcome,
  }, 1, 6, 4, row)
  return row
end

-- keys[name]: what the values of a hypothesis are called, its own name by default.
return function(report, keys)
  local rows = {}
  for _, record in ipairs(report.records) do
    if record.kind == "insight" and record.predict then
      rows[#rows + 1] = report_one(report, record, keys[record.name] or record.name)
    end
  end
  if #rows == 0 then return end
  local function number(header) return { header = header, align = "right", format = "%.3f" } end
  report:table {
    name = report.name .. "_predictions",
    caption = "Predictions, written down before the trials of this run, and what became of them",
    columns = {
      { header = "prediction", align = "left" }, number "at least", number "at most", number "measured (median)",
      number "lowest pair", number "highest pair", number "pairs", number "alike",
      { header = "outcome", align = "left" },
    },
    rows = rows,
  }
end

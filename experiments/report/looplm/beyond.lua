-- L12, the model that adds a hundred digits and what does it; and the layout in which loops must matter.
local common = require "lib.report"
local S = require "report.looplm.shared"

local COLUMNS <const> = {
  { name = "series", type = "text" }, { name = "digits", type = "number" }, { name = "share", type = "number" },
  { name = "low", type = "number" }, { name = "high", type = "number" },
}

local function variants(report)
  return S.grouped(S.trials(report, "without"), function(r) return r.config.variant end)
end

-- Every seed a line, over length.
local function draw_twelve(report, whole)
  local rows, titles = {}, {}
  for _, record in ipairs(whole) do
    local name = ("seed%d"):format(S.seed_of(record))
    for _, n in ipairs(S.digits({ record }, "random")) do
      local p = S.pool({ record }, "random", n)
      rows[#rows + 1] = { name, n, 100 * p.share, 100 * p.low, 100 * p.high }
    end
    titles[#titles + 1] = ("this model, seed %d"):format(S.seed_of(record))
  end
  local refs = S.refs(report, whole)
  for _, group in ipairs(variants(report)) do
    local c = group.records[1].config
    local is_plain = c.positions == "rope" and c.window == -1 and not c.layout
    local is_window = c.positions == "rope_index" and c.window == -1 and not c.slope
    if is_plain or is_window then
      local name = is_plain and "plain" or "open"
      for _, n in ipairs(S.digits(group.records, "random")) do
        local p = S.pool(group.records, "random", n)
        rows[#rows + 1] = { name, n, 100 * p.share, 100 * p.low, 100 * p.high }
      end
      titles[#titles + 1] = group.key
      refs[#refs + 1] = report:ref(group.records[1])
    end
  end
  report:figure {
    name = "looplm_twelve", rows = rows, series = "series", x = "digits", refs = refs, columns = COLUMNS,
    vars = {
      trained = whole[1].training.task.most_digits, machine = common.machine(report.hw), titles = table.concat(titles, "|"),
      measured = ("profile %s, %d steps, both operands of exactly so many digits"):format(report.profile, whole[1].problem.steps),
    },
  }
end

local function tabulate_without(report, whole, groups)
  local digits = S.digits(groups[1] and groups[1].records or whole, "random")
  local chains = S.digits(whole, "full_chains")
  local columns = {
    { header = "model", align = "left" }, { header = "seeds", align = "right", format = "%d" },
    { header = "parameters", align = "right", format = "%d" },
  }
  for _, n in ipairs(digits) do columns[#columns + 1] = { header = ("%d"):format(n), align = "right", format = "%.1f" } end
  for _, n in ipairs(chains) do columns[#columns + 1] = { header = ("%d, full chain"):format(n), align = "right", format = "%.1f" } end
  local rows = {}
  local function row_of(title, records)
    local ref = report:ref(records[1])
    local row = { title, { value = #records, ref = ref }, { value = records[1].parameters, ref = ref } }
    for _, n in ipairs(digits) do row[#row + 1] = S.cell(report, records, "random", n) end
    for _, n in ipairs(chains) do row[#row + 1] = S.cell(report, records, "full_chains", n) end
    rows[#rows + 1] = row
  end
  row_of("all of it, one loop", whole)
  for _, group in ipairs(groups) do row_of(group.key, group.records) end
  report:table {
    name = "looplm_without", columns = columns, rows = rows,
    caption = "Trained on 1 to 4 digits: exact match in % by the number of digits, all ingredients, and with one of them changed",
  }
end

local function report_twelve(report)
  local whole = S.trials(report, "twelve")
  if #whole == 0 then return end
  local groups = variants(report)
  draw_twelve(report, whole)
  tabulate_without(report, whole, groups)
  S.value(report, "twelve_seeds", #whole, whole, "%d")
  S.value(report, "twelve_parameters", whole[1].parameters, whole, "%d")
  local seconds = 0
  for _, record in ipairs(whole) do seconds = math.max(seconds, record.train_seconds) end
  S.value(report, "twelve_seconds", seconds, whole, "%.0f")
  for _, n in ipairs { 5, 6, 12, 40, 100 } do S.put_share(report, ("twelve_%d"):format(n), whole, "random", n) end
  for _, n in ipairs { 12, 40 } do S.put_share(report, ("twelve_chain_%d"):format(n), whole, "full_chains", n) end
  for _, group in ipairs(groups) do
    local c = group.records[1].config
    local name = c.layout == "blanks" and "blanks" or c.positions == "learned_index" and (c.loops > 1 and "abacus_loops" or "abacus")
      or c.positions == "none" and "no_positions" or c.positions == "rope" and (c.window == 1 and "token_window" or "token")
      or c.slope and "slope" or c.window == -1 and "no_window" or c.kinds == 0 and "no_kinds"
      or c.loops == 3 and "loops3" or c.loops == 6 and "loops6"
    if name then S.put_share(report, "without_" .. name, group.records, "random", 12) end
  end
end

-- --- one pass ---

local function report_one_pass(report)
  local loops = S.trials(report, "one_pass", function(r) return r.config.loops > 1 end)
  local static = S.trials(report, "one_pass", function(r) return r.config.loops == 1 end)
  if #loops == 0 or #static == 0 then return end
  local digits, asked = S.digits(loops, "chains"), loops[1].problem.evaluate[1].loops
  local rows, titles, levels, best = {}, {}, {}, {}
  for _, n in ipairs(digits) do
    for _, after in ipairs(asked) do
      local p = S.pool(loops, "chains", n, after)
      rows[#rows + 1] = { ("d%d"):format(n), after, 100 * p.share, 100 * p.low, 100 * p.high }
      if not best[n] or p.share > best[n].share then best[n] = { share = p.share, loops = after } end
    end
    titles[#titles + 1] = ("%d digits"):format(n)
    levels[#levels + 1] = ("%.2f"):format(100 * S.pool(static, "chains", n).share)
  end
  report:figure {
    name = "looplm_one_pass", rows = rows, series = "length", x = "loops",
    refs = S.refs(report, loops),
    columns = {
      { name = "length", type = "text" }, { name = "loops", type = "number" }, { name = "share", type = "number" },
      { name = "low", type = "number" }, { name = "high", type = "number" },
    },
    vars = {
      first = loops[1].training.least_loops, last = loops[1].training.most_loops, levels = table.concat(levels, "|"),
      layers = static[1].config.layers, machine = common.machine(report.hw), titles = table.concat(titles, "|"),
      measured = ("profile %s, trained on 1 to 4 digits, made carry chains, %s"):format(report.profile,
        #loops == 1 and "one seed" or ("%d seeds"):format(#loops)),
    },
  }
  local longest = digits[#digits]
  local most_trained = loops[1].training.most_loops
  S.value(report, "one_pass_digits", longest, loops, "%d")
  S.value(report, "one_pass_best", 100 * best[longest].share, loops)
  S.value(report, "one_pass_best_loops", best[longest].loops, loops, "%d")
  S.value(report, "one_pass_trained", 100 * S.pool(loops, "chains", longest, most_trained).share, loops)
  S.value(report, "one_pass_trained_loops", most_trained, loops, "%d")
  S.value(report, "one_pass_last", 100 * S.pool(loops, "chains", longest, asked[#asked]).share, loops)
  S.value(report, "one_pass_last_loops", asked[#asked], loops, "%d")
  S.value(report, "one_pass_static", 100 * S.pool(static, "chains", longest).share, static)
  S.value(report, "one_pass_static_layers", static[1].config.layers, static, "%d")
end

return function(report)
  report_twelve(report)
  report_one_pass(report)
end

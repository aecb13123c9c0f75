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
    caption = ("Trained on 1 to %d digits: exact match in %% by the number of digits, all ingredients, and with one or more of them changed")
      :format(whole[1].training.task.most_digits),
  }
end

-- The variants that sentences speak of.
local function name_of(c)
  if c.layout or c.slope then return nil end
  if c.positions == "rope" then return c.window == 1 and "token_window" or "token" end
  if c.positions ~= "rope_index" then return nil end
  if c.kinds == 0 then return "kinds" end
  return c.loops > 1 and ("loops%d"):format(c.loops) or c.window == -1 and "no_window" or nil
end

local function report_twelve(report)
  local whole = S.trials(report, "twelve")
  if #whole == 0 then return end
  local groups = variants(report)
  draw_twelve(report, whole)
  tabulate_without(report, whole, groups)
  S.value(report, "twelve_seeds", #whole, whole, "%d")
  report:value("twelve_loops", whole[1].config.loops, {
    refs = S.refs(report, whole), text = whole[1].config.loops == 1 and "once" or common.in_words(whole[1].config.loops) .. " times",
  })
  S.value(report, "twelve_parameters", whole[1].parameters, whole, "%d")
  local seconds = 0
  for _, record in ipairs(whole) do seconds = math.max(seconds, record.train_seconds) end
  S.value(report, "twelve_seconds", seconds, whole, "%.0f")
  S.put_share(report, "twelve_12", whole, "random", 12)
  for _, n in ipairs { 12, 40, 100 } do S.put_share(report, ("twelve_%d_least"):format(n), whole, "random", n, nil, "least") end
  for _, n in ipairs { 12, 40 } do S.put_share(report, ("twelve_chain_%d_least"):format(n), whole, "full_chains", n, nil, "least") end
  for _, group in ipairs(groups) do
    local name = name_of(group.records[1].config)
    if name then
      S.put_share(report, "without_" .. name, group.records, "random", 12)
      S.put_share(report, "trained_" .. name, group.records, "random", whole[1].training.task.most_digits)
    end
  end
end

-- --- one pass ---

-- Each length by itself, looped and static: every set of problems, and for full chains the fewest of the loops asked
-- after which nearly all are solved.
local NEARLY_ALL <const> = 0.9

local function first_solving(loops, n, asked)
  for _, after in ipairs(asked) do
    if S.pool(loops, "full_chains", n, after).share >= NEARLY_ALL then return after end
  end
end

local function tabulate_one_pass(report, loops, static, digits, asked, most_trained)
  local columns = { { header = "digits", align = "right", format = "%d" } }
  for _, title in ipairs { ("looped %d times"):format(most_trained), ("static, %d layers"):format(static[1].config.layers) } do
    for _, set in ipairs { "random", "chains", "full chains" } do
      columns[#columns + 1] = { header = ("%s: %s"):format(title, set), align = "right", format = "%.1f" }
    end
  end
  columns[#columns + 1] = { header = ("loops to %.0f %% of full chains"):format(100 * NEARLY_ALL), align = "right", format = "%d" }
  local rows = {}
  for i, n in ipairs(digits) do
    local ref = report:ref(loops[1])
    rows[i] = { { value = n, ref = ref } }
    for _, set in ipairs { "random", "chains", "full_chains" } do
      table.insert(rows[i], #rows[i] + 1, S.cell(report, loops, set, n, most_trained))
    end
    for _, set in ipairs { "random", "chains", "full_chains" } do
      table.insert(rows[i], #rows[i] + 1, S.cell(report, static, set, n))
    end
    local after = first_solving(loops, n, asked)
    rows[i][#rows[i] + 1] = after and { value = after, ref = ref } or "never"
  end
  report:table {
    name = "looplm_one_pass", columns = columns, rows = rows,
    caption = ("All digits in one pass, trained on 1 to %d digits: exact match in %%"):format(loops[1].training.task.most_digits),
  }
end

-- Full chains over the loops of the test, a line a length; the static models are levels.
local function draw_one_pass(report, loops, static, digits, asked)
  local rows, titles, levels = {}, {}, {}
  for _, n in ipairs(digits) do
    for _, after in ipairs(asked) do
      local p = S.pool(loops, "full_chains", n, after)
      rows[#rows + 1] = { ("d%d"):format(n), after, 100 * p.share, 100 * p.low, 100 * p.high }
    end
    titles[#titles + 1] = ("%d digits"):format(n)
    levels[#levels + 1] = ("%.2f"):format(100 * S.pool(static, "full_chains", n).share)
  end
  local refs = S.refs(report, loops)
  for _, ref in ipairs(S.refs(report, static)) do refs[#refs + 1] = ref end
  local columns = { { name = "length", type = "text" }, { name = "loops", type = "number" } }
  table.move(COLUMNS, 3, 5, 3, columns)
  report:figure {
    name = "looplm_one_pass", rows = rows, series = "length", x = "loops", refs = refs, columns = columns,
    vars = {
      first = loops[1].training.least_loops, last = loops[1].training.most_loops, levels = table.concat(levels, "|"),
      layers = static[1].config.layers, machine = common.machine(report.hw), titles = table.concat(titles, "|"),
      measured = ("profile %s, trained on 1 to %d digits, full carry chains, %s"):format(report.profile,
        loops[1].training.task.most_digits, S.count(#loops, "seed")),
    },
  }
end

-- What is said of one length, of each seed: after the most loops of training, and after the number of them that is best.
local function put_one_pass(report, prefix, loops, static, n, asked, most_trained)
  local best
  for _, after in ipairs(asked) do
    local share = S.pool(loops, "full_chains", n, after).share
    if not best or share > best.share then best = { share = share, after = after } end
  end
  S.value(report, prefix .. "digits", n, loops, "%d")
  S.put_each(report, prefix .. "trained", loops, "full_chains", n, most_trained)
  S.put_each(report, prefix .. "best", loops, "full_chains", n, best.after)
  S.value(report, prefix .. "best_loops", best.after, loops, "%d")
  S.put_each(report, prefix .. "static", static, "full_chains", n)
  S.put_each(report, prefix .. "static_plain", static, "chains", n)
  S.put_each(report, prefix .. "best_plain", loops, "chains", n, best.after)
end

local function report_one_pass(report)
  local loops = S.trials(report, "one_pass", function(r) return r.config.loops > 1 end)
  local static = S.trials(report, "one_pass", function(r) return r.config.loops == 1 end)
  if #loops == 0 or #static == 0 then return end
  local digits, asked = S.digits(loops, "full_chains"), loops[1].problem.evaluate[1].loops
  local most_trained = loops[1].training.most_loops
  tabulate_one_pass(report, loops, static, digits, asked, most_trained)
  draw_one_pass(report, loops, static, digits, asked)
  put_one_pass(report, "one_pass_", loops, static, digits[#digits], asked, most_trained)
  put_one_pass(report, "one_pass_second_", loops, static, digits[2], asked, most_trained)
  S.value(report, "one_pass_seeds", #loops, loops, "%d")
  S.value(report, "one_pass_trained_loops", most_trained, loops, "%d")
  S.value(report, "one_pass_static_layers", static[1].config.layers, static, "%d")
  S.value(report, "one_pass_parameters", loops[1].parameters, loops, "%d")
  S.value(report, "one_pass_static_parameters", static[1].parameters, static, "%d")
  S.value(report, "one_pass_chain_share", 100 * loops[1].training.task.chain_share, loops, "%.0f")
end

return function(report)
  report_twelve(report)
  report_one_pass(report)
end

-- L1 to L5 and L8: the source's models on the same problems from the same seeds.
local common = require "lib.report"
local stats = require "lib.stats"
local S = require "report.looplm.shared"

-- In the order of the table and the figures. The fifth is the second, asked after twice its loops.
local function read(report)
  local models = S.models(report)
  if models.loop then
    local twice = 2 * models.loop.records[1].config.loops
    models.twice = {
      key = "twice", title = ("%s, asked after %d"):format(models.loop.title, twice), records = models.loop.records, loops = twice,
    }
  end
  for _, key in ipairs { "gpt", "loop", "deep", "narrow", "twice" } do models[#models + 1] = models[key] end
  return models
end

local function tabulate(report, name, caption, models, digits, most_digits)
  local columns = {
    { header = "model", align = "left" }, { header = "parameters", align = "right", format = "%d" },
  }
  for _, n in ipairs(digits) do
    columns[#columns + 1] = { header = S.count(n, "digit") .. (n <= most_digits and " (trained)" or ""), align = "right", format = "%.1f" }
  end
  local rows = {}
  for _, model in ipairs(models) do
    local row = { model.title, { value = model.records[1].parameters, ref = report:ref(model.records[1]) } }
    for _, n in ipairs(digits) do row[#row + 1] = S.cell(report, model.records, "random", n, model.loops) end
    rows[#rows + 1] = row
  end
  report:table { name = name, caption = caption, columns = columns, rows = rows }
end

-- Accuracy over length, a line a model. The axis of a share that may be nought is not a logarithm.
local function draw_curve(report, models, digits, most_digits)
  local rows, titles, refs = {}, {}, {}
  for _, model in ipairs(models) do
    for _, n in ipairs(digits) do
      local p = S.pool(model.records, "random", n, model.loops)
      if p then rows[#rows + 1] = { model.key, n, 100 * p.share, 100 * p.low, 100 * p.high } end
    end
    titles[#titles + 1] = model.title
    for _, ref in ipairs(S.refs(report, model.records)) do refs[#refs + 1] = ref end
  end
  report:figure {
    name = "looplm_curve", rows = rows, series = "model", x = "digits", refs = refs,
    columns = {
      { name = "model", type = "text" }, { name = "digits", type = "number" }, { name = "share", type = "number" },
      { name = "low", type = "number" }, { name = "high", type = "number" },
    },
    vars = {
      trained = most_digits, machine = common.machine(report.hw), titles = table.concat(titles, "|"),
      measured = ("small scale, profile %s, %d seeds, %d problems a length"):format(report.profile, #models[1].records,
        models[1].records[1].problem.evaluate[1].problems),
    },
  }
end

-- Accuracy over the loops of the test, a line a length; the static model stands beside it at the length that it learned.
local function draw_loops(report, models, most_digits)
  local loop, rows, titles = models.loop, {}, {}
  for n = 1, most_digits + 1 do
    local drawn = false
    local asked = loop.records[1].problem.evaluate[1].loops or { loop.records[1].config.loops }
    for _, loops in ipairs(asked) do
      local p = S.pool(loop.records, "random", n, loops)
      if p then
        rows[#rows + 1] = { ("d%d"):format(n), loops, 100 * p.share, 100 * p.low, 100 * p.high }
        drawn = true
      end
    end
    if drawn then titles[#titles + 1] = S.count(n, "digit") end
  end
  local static = S.pool(models.gpt.records, "random", most_digits)
  report:figure {
    name = "looplm_loops", rows = rows, series = "length", x = "loops",
    refs = S.refs(report, loop.records),
    columns = {
      { name = "length", type = "text" }, { name = "loops", type = "number" }, { name = "share", type = "number" },
      { name = "low", type = "number" }, { name = "high", type = "number" },
    },
    vars = {
      trained = loop.records[1].config.loops, static = 100 * static.share, static_title = ("%s, %d digits"):format(models.gpt.title, most_digits),
      machine = common.machine(report.hw), titles = table.concat(titles, "|"),
      measured = ("small scale, profile %s, %d seeds"):format(report.profile, #loop.records),
    },
  }
end

-- How many bits are set in a and not in b, both in hexadecimal.
local function only_first(a, b)
  local n = 0
  for i = 1, math.min(#a, #b) do
    local bits = tonumber(a:sub(i, i), 16) & ~tonumber(b:sub(i, i), 16)
    while bits > 0 do
      n = n + (bits & 1)
      bits = bits >> 1
    end
  end
  return n
end

-- Two models on the same problems from the same seeds: the mean difference in points with its interval over the seeds, in
-- how many seeds the first is ahead, and McNemar's test over the problems of each seed, the one nearest to nought.
local function compare(a, b, digits)
  local differences, ahead, behind, p_value = {}, 0, 0, nil
  for _, one in ipairs(a.records) do
    for _, other in ipairs(b.records) do
      if S.seed_of(one) == S.seed_of(other) then
        local x, n = S.solved(one, "random", digits, a.loops)
        local y, m = S.solved(other, "random", digits, b.loops)
        if x and y then
          local d = 100 * (x / n - y / m)
          differences[#differences + 1] = d
          ahead, behind = ahead + (d > 0 and 1 or 0), behind + (d < 0 and 1 or 0)
          local first = S.marks(one, "random", digits, a.loops)
          local second = S.marks(other, "random", digits, b.loops)
          if first and second then
            p_value = math.max(p_value or 0, stats.sign_test(only_first(first, second), only_first(second, first)))
          end
        end
      end
    end
  end
  if #differences == 0 then return nil end
  local mean, low, high = stats.paired(differences)
  return {
    mean = mean, low = low, high = high, ahead = ahead, behind = behind, pairs = #differences, p_value = p_value,
    sign = stats.sign_test(ahead, behind),
  }
end

local function tabulate_pairs(report, models, digits)
  local rows = {}
  for _, other in ipairs { models.loop, models.deep, models.narrow, models.twice } do
    for _, n in ipairs(digits) do
      local c = compare(other, models.gpt, n)
      if c then
        local ref = report:ref(other.records[1])
        rows[#rows + 1] = {
          other.title, { value = n, ref = ref }, { value = c.mean, ref = ref },
          c.low and { value = c.low, ref = ref } or "", c.high and { value = c.high, ref = ref } or "",
          { value = c.ahead, ref = ref, text = ("%d, %d of %d"):format(c.ahead, c.behind, c.pairs) },
          { value = c.sign, ref = ref }, c.p_value and { value = c.p_value, ref = ref } or "",
        }
      end
    end
  end
  report:table {
    name = "looplm_pairs",
    caption = "Looped models against the static one, pairs of the same seed: points more (mean, 95 % interval of the paired t test), "
      .. "seeds ahead and behind, the sign test over the seeds, and the largest p of McNemar's exact test over the problems of a seed",
    columns = {
      { header = "model", align = "left" }, { header = "digits", align = "right", format = "%d" },
      { header = "points more", align = "right", format = "%.1f" }, { header = "from", align = "right", format = "%.1f" },
      { header = "to", align = "right", format = "%.1f" }, { header = "ahead, behind", align = "right", format = "%d" },
      { header = "p, seeds", align = "right", format = "%.2f" }, { header = "p, problems", align = "right", format = "%.3g" },
    },
    rows = rows,
  }
end

-- Exact match by the number of carries, at the longest length of training.
local function tabulate_carries(report, models, digits)
  local rows = {}
  for _, model in ipairs(models) do
    local by, ref = {}, report:ref(model.records[1])
    for _, record in ipairs(model.records) do
      local _, _, test = S.solved(record, "random", digits, model.loops)
      for _, line in ipairs(test and test.by_carries or {}) do
        local sum = by[line[1]] or { 0, 0 }
        by[line[1]] = { sum[1] + line[2], sum[2] + line[3] }
      end
    end
    local row = { model.title }
    for carries = 0, digits do
      local sum = by[carries]
      row[#row + 1] = sum and { value = 100 * sum[2] / sum[1], ref = ref } or ""
    end
    rows[#rows + 1] = row
  end
  local columns = { { header = "model", align = "left" } }
  for carries = 0, digits do
    columns[#columns + 1] = { header = carries == 1 and "1 carry" or ("%d carries"):format(carries), align = "right", format = "%.1f" }
  end
  report:table {
    name = "looplm_carries", columns = columns, rows = rows,
    caption = ("Exact match in %% at %d digits by the number of carries, all seeds together"):format(digits),
  }
end

-- --- waiting to think ---

-- Tests of decoding, pooled over the seeds: solved, problems, and tokens and loops of each kind, as one of the requests
-- has them.
local function decoded(records, asked)
  local sum = { right = 0, n = 0, spent = {} }
  for _, record in ipairs(records) do
    for _, test in ipairs(record.decoded or {}) do
      if test.threshold == asked.threshold and test.thinking_threshold == asked.thinking_threshold then
        sum.right, sum.n = sum.right + test.correct[1], sum.n + test.problems
        for kind, spent in pairs(test.spent) do
          local s = sum.spent[kind] or { 0, 0 }
          sum.spent[kind] = { s[1] + spent[1], s[2] + spent[2] }
        end
      end
    end
  end
  return sum.n > 0 and sum or nil
end

-- The first n of a test's marks. A digit holds four, the first in its lowest bit.
local function first_marks(marks, n)
  local whole, left = marks:sub(1, n // 4), n % 4
  if left == 0 then return whole end
  return whole .. ("%x"):format(tonumber(marks:sub(n // 4 + 1, n // 4 + 1), 16) & (1 << left) - 1)
end

-- Decoding a token at a time solves the very problems that are solved given the right tokens.
local function check_decoding(records)
  local same, tests = 0, 0
  for _, record in ipairs(records) do
    for _, test in ipairs(record.decoded or {}) do
      local given = not test.threshold and S.marks(record, "random", test.digits, test.loops[1])
      if given then
        tests = tests + 1
        if first_marks(given, test.problems) == first_marks(test.marks, test.problems) then same = same + 1 end
      end
    end
  end
  return same, tests
end

local function tabulate_halting(report, loop)
  local rows, ref = {}, report:ref(loop.records[1])
  local off, default, zero
  local runs = {}
  for _, asked in ipairs(loop.records[1].problem.decode) do
    local run = decoded(loop.records, asked)
    if run then
      run.title = asked.threshold and ("%.2f, from '=' on %g"):format(asked.threshold, asked.thinking_threshold) or "off"
      runs[#runs + 1] = run
      if not asked.threshold then off = run elseif asked.threshold > 0 then default = run else zero = run end
    end
  end
  if not (off and default and zero) then return end
  local KINDS <const> = { "operand", "sign", "equals", "answer" }
  local function saved(run, kinds)
    local spent, full = 0, 0
    for _, kind in ipairs(kinds) do
      spent = spent + run.spent[kind][2]
      full = full + off.spent[kind][2] / off.spent[kind][1] * run.spent[kind][1]
    end
    return 100 * (1 - spent / full)
  end
  for _, sum in ipairs(runs) do
    local row = { sum.title, { value = 100 * sum.right / sum.n, ref = ref } }
    for _, kind in ipairs(KINDS) do row[#row + 1] = { value = sum.spent[kind][2] / sum.spent[kind][1], ref = ref } end
    row[#row + 1] = { value = saved(sum, { "operand", "sign" }), ref = ref }
    rows[#rows + 1] = row
  end
  S.value(report, "halting_saved_input", saved(default, { "operand", "sign" }), loop.records)
  S.value(report, "halting_saved_answer", saved(default, { "equals", "answer" }), loop.records)
  S.value(report, "halting_points", 100 * (default.right / default.n - off.right / off.n), loop.records, "%.2f")
  S.value(report, "halting_zero_saved_input", saved(zero, { "operand", "sign" }), loop.records)
  S.value(report, "halting_zero_points", 100 * (zero.right / zero.n - off.right / off.n), loop.records, "%.2f")
  local same, tests = check_decoding(loop.records)
  S.value(report, "decoding_tests", tests, loop.records, "%d")
  S.value(report, "decoding_same", same, loop.records, "%d")
  report:table {
    name = "looplm_halting", rows = rows,
    caption = "Waiting to think: loops spent on a token of each kind, at the lengths of training; threshold of the confidence",
    columns = {
      { header = "threshold", align = "left" }, { header = "exact match, %", align = "right", format = "%.1f" },
      { header = "operand", align = "right", format = "%.2f" }, { header = "'+'", align = "right", format = "%.2f" },
      { header = "'='", align = "right", format = "%.2f" }, { header = "answer", align = "right", format = "%.2f" },
      { header = "loops saved before '=', %", align = "right", format = "%.1f" },
    },
  }
end

-- L1 under the source's protocol. A share of the training problems has operands of up to one or two digits more.
local function report_bridge(report, models, most_digits)
  local bridged = {}
  for _, group in ipairs(S.grouped(S.trials(report, "bridge"), function(r) return r.config.variant end)) do
    bridged[#bridged + 1] = { title = group.key, records = group.records }
    local key = group.key == models.gpt.title and "gpt" or group.key == models.loop.title and "loop"
    if key then
      S.put_share(report, key .. "_bridged", group.records, "random", most_digits + 1)
      S.put_share(report, key .. "_past_bridge", group.records, "random", most_digits + 3)
    end
  end
  if #bridged == 0 then return end
  local records = bridged[1].records
  local task = records[1].training.task
  S.value(report, "bridge_share", 100 * task.bridge_share, records, "%.0f")
  tabulate(report, "looplm_bridge",
    ("The source's protocol: %.0f %% of the training problems have up to %d or %d digits; exact match in %%, %s a model"):format(
      100 * task.bridge_share, most_digits + 1, most_digits + 2, S.count(#records, "seed")),
    bridged, S.digits(records, "random"), most_digits)
end

-- What was trained: the seeds, the sizes, and the time of all runs.
local function report_sizes(report, gpt, loop)
  local first = gpt[1]
  S.value(report, "model_seeds", #gpt, gpt, "%d")
  S.value(report, "model_digits", first.training.task.most_digits, gpt, "%d")
  S.value(report, "model_width", first.config.width, gpt, "%d")
  S.value(report, "model_steps", first.problem.steps, gpt, "%d")
  report:value("model_loops", loop[1].config.loops, { refs = S.refs(report, loop), text = common.in_words(loop[1].config.loops) })
end

return function(report)
  local models = read(report)
  if not (models.gpt and models.loop) then return end
  local most_digits = models.gpt.records[1].training.task.most_digits
  local digits = S.digits(models.gpt.records, "random")
  local seeds = #models.gpt.records
  report_sizes(report, models.gpt.records, models.loop.records)
  for _, key in ipairs { "gpt", "loop" } do
    S.put_share(report, key .. "_trained", models[key].records, "random", most_digits)
    S.put_share(report, key .. "_next", models[key].records, "random", most_digits + 1)
  end
  S.put_share(report, "twice_trained", models.twice.records, "random", most_digits, models.twice.loops)
  if models.deep then
    S.put_share(report, "deep_trained", models.deep.records, "random", most_digits)
    S.put_share(report, "deep_longest", models.deep.records, "random", digits[#digits])
    S.value(report, "deep_loops", models.deep.records[1].config.loops, models.deep.records, "%d")
  end
  tabulate(report, "looplm_models",
    ("Exact match in %% (mean over %d seeds, least and most of one), small scale: trained on 1 to %d digits only"):format(seeds, most_digits),
    models, digits, most_digits)
  draw_curve(report, models, digits, most_digits)
  draw_loops(report, models, most_digits)
  tabulate_pairs(report, models, { most_digits, most_digits + 1 })
  tabulate_carries(report, models, most_digits)
  tabulate_halting(report, models.loop)
  S.put_difference(report, "recurrence_gain", compare(models.loop, models.gpt, most_digits + 1), models.loop.records)
  S.put_difference(report, "twice_gain", compare(models.twice, models.loop, most_digits), models.loop.records)
  report_bridge(report, models, most_digits)
end

-- What the parts of LoopLM's report share: finding records and tests, pooling them over seeds, cells and values.
local common = require "lib.report"
local stats = require "lib.stats"

local M = { trials = common.trials, studies = common.studies }

function M.refs(report, records)
  local refs = {}
  for i, record in ipairs(records) do refs[i] = report:ref(record) end
  return refs
end

-- How many problems a trial solved of a set, of so many digits, after so many loops (nil: those of its training); nil
-- when it was not asked. The third value is the test, where it ended with these loops: its details are of its last ones.
function M.solved(record, set, digits, loops)
  loops = loops or record.training.model.loops
  local correct, problems
  for _, test in ipairs(record.evaluations or {}) do
    if test.set == set and test.digits == digits and not test.wrong_format then
      for i, after in ipairs(test.loops) do
        if after == loops and i == #test.loops then return test.correct[i], test.problems, test end
        if after == loops then correct, problems = test.correct[i], test.problems end
      end
    end
  end
  return correct, problems
end

-- Which problems were solved after so many loops, as the test's hexadecimal marks; nil when none were kept.
function M.marks(record, set, digits, loops)
  loops = loops or record.training.model.loops
  for _, test in ipairs(record.evaluations or {}) do
    if test.set == set and test.digits == digits and not test.wrong_format and test.loops[#test.loops] == loops and test.marks then
      return test.marks
    end
  end
end

-- The share over all trials, its interval by Wilson over the pooled problems, and the least and the most of any trial;
-- nil when none was asked.
function M.pool(records, set, digits, loops)
  local right, n, shares = 0, 0, {}
  for _, record in ipairs(records) do
    local solved, problems = M.solved(record, set, digits, loops)
    if solved then
      right, n = right + solved, n + problems
      shares[#shares + 1] = solved / problems
    end
  end
  if n == 0 then return nil end
  local low, high = stats.wilson(right, n)
  return {
    right = right, n = n, share = right / n, low = low, high = high, shares = shares,
    least = math.min(table.unpack(shares)), most = math.max(table.unpack(shares)),
  }
end

-- "97.3 (96.1 to 98.9)": the share over the trials, and the least and most of one.
function M.cell(report, records, set, digits, loops)
  local pooled = M.pool(records, set, digits, loops)
  if not pooled then return "" end
  local text = ("%.1f"):format(100 * pooled.share)
  if #pooled.shares > 1 and pooled.most - pooled.least >= 0.0005 then
    text = text .. (" (%.1f to %.1f)"):format(100 * pooled.least, 100 * pooled.most)
  end
  return { value = 100 * pooled.share, ref = report:ref(records[1]), text = text }
end

function M.value(report, name, value, records, format)
  report:value(name, value, { refs = M.refs(report, records), format = format or "%.1f" })
end

function M.count(n, unit) return n == 1 and "1 " .. unit or ("%d %ss"):format(n, unit) end

-- Percent solved, of all trials together or (which == "least") of the worst one.
function M.put_share(report, name, records, set, digits, loops, which)
  local pooled = M.pool(records, set, digits, loops)
  if pooled then M.value(report, name, 100 * pooled[which or "share"], records) end
end

-- Percent solved by each trial: "0.0 and 99.5"; the value itself is that of all together.
function M.put_each(report, name, records, set, digits, loops)
  local pooled, texts = M.pool(records, set, digits, loops), {}
  for i, share in ipairs(pooled.shares) do texts[i] = ("%.1f"):format(100 * share) end
  local last = table.remove(texts)
  local text = #texts > 0 and table.concat(texts, ", ") .. " and " .. last or last
  report:value(name, 100 * pooled.share, { refs = M.refs(report, records), text = text })
end

-- Trials by what `key` says of each, in the order of their first one: {{key =, records =}, ...}
function M.grouped(records, key)
  local groups, at = {}, {}
  for _, record in ipairs(records) do
    local name = key(record)
    if not at[name] then
      groups[#groups + 1] = { key = name, records = {} }
      at[name] = groups[#groups]
    end
    table.insert(at[name].records, record)
  end
  return groups
end

-- The digits that the first of the trials was asked of a set.
function M.digits(records, set)
  local seen, list = {}, {}
  for _, test in ipairs(records[1] and records[1].evaluations or {}) do
    if test.set == set and not test.wrong_format and not seen[test.digits] then
      seen[test.digits] = true
      list[#list + 1] = test.digits
    end
  end
  table.sort(list)
  return list
end

-- The source's models, told apart by how they stand to each other: the static one has layers, the looped one is the one
-- that is decoded, and of the others one has more loops and one is narrower.
function M.models(report)
  local all, loop = M.trials(report, "models"), nil
  for _, record in ipairs(all) do
    if record.problem.decode then loop = record.config end
  end
  local found = {}
  for _, record in ipairs(all) do
    local c = record.config
    local key = c.layers > 1 and "gpt" or loop and (record.problem.decode and "loop" or c.loops > loop.loops and "deep"
      or c.width < loop.width and "narrow")
    if key then
      found[key] = found[key] or { key = key, title = c.variant, records = {} }
      table.insert(found[key].records, record)
    end
  end
  return found
end

-- A difference in points and what its interval says, as words for a sentence; without an interval it says nothing.
function M.in_points(mean, low, high)
  if not low then return ("%+.1f points, which one pair of seeds gives no interval"):format(mean) end
  local interval = ("95 %% interval %+.1f to %+.1f"):format(low, high)
  if low > 0 then return ("%.1f points more (%s)"):format(mean, interval) end
  if low == 0 and high == 0 then return "no points more, in any pair of seeds" end
  if high < 0 then return ("%.1f points fewer (%s)"):format(-mean, interval) end
  return ("%+.1f points, not told from nought (%s)"):format(mean, interval)
end

-- A mean difference that a sentence reads in those words.
function M.put_difference(report, name, d, records)
  if not (d and d.mean) then return end
  report:value(name, d.mean, { refs = M.refs(report, records), text = M.in_points(d.mean, d.low, d.high) })
end

function M.seed_of(record) return record.problem.seed end

return M

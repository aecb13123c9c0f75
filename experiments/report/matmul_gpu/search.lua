-- The search at a shape that was not met before, held against trying every tile and cluster there.
local common = require "lib.report"
local words = require "report.matmul_gpu.words"

-- The search's trials in their order, and what became of its candidates: refused on the CPU, compiled, found compiled,
-- failed. A record copies how its kernel came to be, also when an earlier trial of the trace had compiled it.
local function read_search(report)
  local tried, count, met = {}, { refused = 0, compiled = 0, found = 0, failed = 0 }, {}
  for _, record in ipairs(report.records) do
    local kernel = record.kernel or {}
    if record.kind == "measure" and record.label == "new_shape" then
      local outcome = record.status == "refused" and "refused" or record.status == "failed" and "failed"
        or (kernel.cached or met[kernel.key]) and "found" or "compiled"
      count[outcome] = count[outcome] + 1
      if record.status == "ok" and record.ratio then tried[#tried + 1] = words.speed(record) end
    end
    if kernel.key then met[kernel.key] = true end
  end
  return tried, count
end

-- A search's starts ask for a height alone; all other trials name every axis.
local function is_start(record) return record.asked and not record.asked.variant end

local function same(a, b)
  for axis, value in pairs(a) do
    if b[axis] ~= value then return false end
  end
  return true
end

-- Of the searches at shapes that were known, how many ended elsewhere than at one of their starts.
local function report_known(report)
  local refs, starts, moved = {}, {}, 0
  for _, record in ipairs(report.records) do
    if record.kind == "measure" and record.status == "ok" and is_start(record) then
      starts[record.label] = starts[record.label] or {}
      table.insert(starts[record.label], record.config)
    end
    if record.kind == "converge" and record.label ~= "new_shape" then
      local stayed = false
      for _, start in ipairs(starts[record.label] or {}) do stayed = stayed or same(start, record.best) end
      if not stayed then moved = moved + 1 end
      refs[#refs + 1] = report:ref(record)
    end
  end
  if #refs == 0 then return end
  report:value("searches_known", #refs, { refs = refs, format = "%d" })
  report:value("searches_moved", moved, { refs = refs, format = "%d" })
end

-- The best of the search's starts, where the model's choice stood before anything was searched.
local function best_start(report)
  local best
  for _, record in ipairs(report.records) do
    if record.kind == "measure" and record.label == "new_shape" and record.status == "ok" and is_start(record)
      and record.ratio and (not best or record.ratio > best.ratio) then
      best = record
    end
  end
  return best
end

-- The best of everything that was tried there, and how much that was.
local function read_everything(report)
  local best, refs, refused = nil, {}, 0
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "exhaustive" then
      refs[#refs + 1] = report:ref(record)
      if record.status == "refused" then refused = refused + 1 end
      if record.status == "ok" and record.ratio and (not best or record.ratio > best.ratio) then best = record end
    end
  end
  return best, refs, refused
end

local function draw(report, tried, count, best)
  local rows, refs, records, top = {}, {}, {}, 0
  for at, s in ipairs(tried) do
    rows[at] = { "tried", at, s.ratio }
    refs[at], records[at] = report:ref(s.record), s.record
  end
  for at, s in ipairs(tried) do
    top = math.max(top, s.ratio)
    rows[#rows + 1] = { "best", at, top }
  end
  refs[#refs + 1] = report:ref(best)
  local vars = words.figure(report, records)
  vars.measured = vars.measured:gsub("median, quartiles", "median")
  vars.shape, vars.everything = words.spaced(best.problem), best.ratio
  vars.counts = ("%d refused on the CPU, %d compiled, %d found compiled"):format(count.refused, count.compiled,
    count.found)
  report:figure {
    name = "matmul_gpu_search",
    columns = common.columns("series", "trial", "ratio"),
    rows = rows, series = "series", x = "trial", positive = { "ratio" }, refs = refs, vars = vars,
  }
end

return function(report)
  report_known(report)
  local converged
  for _, record in ipairs(report.records) do
    if record.kind == "converge" and record.label == "new_shape" then converged = record end
  end
  if not converged then return end
  local tried, count = read_search(report)
  local best, refs, refused = read_everything(report)
  local ref, rows = report:ref(converged), {}
  local function value(key, number, format, unit, from)
    report:value("search_" .. key, number, { refs = from or { ref }, format = format, unit = unit })
  end
  for outcome, n in pairs(count) do value(outcome, n, "%d") end
  value("trials", converged.trials, "%d")
  value("seconds", converged.seconds, "%.1f", "s")
  local function row(what, number, from, format)
    rows[#rows + 1] = { what, { value = number, text = format:format(number), ref = from } }
  end
  row("candidates refused on the CPU", count.refused, ref, "%d")
  row("kernels compiled", count.compiled, ref, "%d")
  row("kernels found compiled", count.found, ref, "%d")
  row("trials that failed", count.failed, ref, "%d")
  row("seconds in all", converged.seconds, ref, "%.1f")
  local start = best_start(report)
  if start then
    value("start", start.ratio, "%.3f", nil, { report:ref(start) })
    row("the best of its starts, as a ratio to the peer", start.ratio, report:ref(start), "%.3f")
  end
  if best then
    local both = { ref, report:ref(best) }
    value("share_of_best", converged.merit / best.ratio, "%.3f", nil, both)
    value("merit", converged.merit, "%.3f")
    report:value("everything_best", best.ratio, { refs = { report:ref(best) }, format = "%.3f" })
    report:value("everything_tried", #refs - refused, { refs = refs, format = "%d" })
    report:value("everything_refused", refused, { refs = refs, format = "%d" })
    row("its best, as a ratio to the peer", converged.merit, ref, "%.3f")
    row("the best of everything, as a ratio to the peer", best.ratio, report:ref(best), "%.3f")
    if #tried > 0 then draw(report, tried, count, best) end
  end
  report:table {
    name = "matmul_gpu_search",
    caption = "A search at a shape that was not met before",
    columns = { { header = "the search", align = "left" }, { header = "", align = "right", format = "%.3f" } },
    rows = rows,
  }
end

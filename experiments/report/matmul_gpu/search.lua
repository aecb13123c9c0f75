-- The search at a shape that was not met before, held against trying every tile and cluster there.
local common = require "lib.report"
local words = require "report.matmul_gpu.words"

-- The search's trials in their order, and what became of its candidates: refused on the CPU, compiled, found compiled,
-- failed.
local function read_search(report)
  local tried, count = {}, { refused = 0, compiled = 0, found = 0, failed = 0 }
  for _, record in ipairs(report.records) do
    if record.kind == "measure" and record.label == "new_shape" then
      local outcome = record.status == "refused" and "refused" or record.status == "failed" and "failed"
        or record.kernel and not record.kernel.cached and "compiled" or "found"
      count[outcome] = count[outcome] + 1
      if record.status == "ok" and record.ratio then tried[#tried + 1] = words.speed(record) end
    end
  end
  return tried, count
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
  if best then
    local both = { ref, report:ref(best) }
    value("share_of_best", converged.merit / best.ratio, "%.3f", nil, both)
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

-- What the MatMul trace says: the ladder's figure and table, the search, the predictions, and named values.
local common = require "lib.report"
local climb = require "lib.ladder"
local threads = require "lib.threads"

local RUNGS = { "naive", "loop_order", "blocked", "packed", "register_tile", "tuned", "threads" }
local ON_ONE = { table.unpack(RUNGS, 1, #RUNGS - 1) } -- all but the last, on threads
local IDEAS = {
  naive = "a dot product for each element",
  loop_order = "the inner loop runs along rows",
  blocked = "blocks that stay in a cache",
  packed = "panels copied into reading order",
  register_tile = "a tile of C in vector registers",
  tuned = "the register tile with searched parameters",
  threads = "two threads, beside the peer on two",
}

-- ladder[rung][size] = speed, for the trials that went well and had a peer; the sizes in order; the peer's name.
local function read_ladder(report)
  local ladder, seen, sizes, peer = {}, {}, {}, nil
  for _, rung in ipairs(RUNGS) do ladder[rung] = {} end
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.status == "ok" and record.ratio then
      local rung = record.label == "tuned" and "tuned" or record.config.variant
      local size = record.problem.m
      ladder[rung][size] = common.speed(record, 2 * size * record.problem.n * record.problem.k)
      peer = peer or record.peer
      if not seen[size] then seen[size] = true; sizes[#sizes + 1] = size end
    end
  end
  table.sort(sizes)
  return ladder, sizes, peer
end

-- The figure's words, all from the trace: on what machine, how it was measured, and on how many threads the last step.
local function ladder_words(report, ladder, peer)
  local records, most = {}, 1
  for rung, of_rung in pairs(ladder) do
    for _, s in pairs(of_rung) do
      records[#records + 1] = s.record
      if rung == "threads" then most = s.record.problem.threads end
    end
  end
  local number = common.in_words(most)
  return {
    peer = peer:match("^%a+") or "peer",
    machine = common.machine(report.hw),
    measured = common.measured(report, records),
    threads_title = ("threads (%s threads, peer on %s)"):format(number, number),
  }
end

local function draw_ladder(report, ladder, sizes, peer)
  local rows, refs = {}, {}
  for _, rung in ipairs(RUNGS) do
    for _, size in ipairs(sizes) do
      local s = ladder[rung][size]
      if s then
        rows[#rows + 1] = { rung, size, s.ratio, s.q1, s.q3 }
        refs[#refs + 1] = report:ref(s.record)
      end
    end
  end
  report:figure {
    name = "matmul_ladder",
    columns = common.columns("step", "size", "ratio", "q1", "q3"),
    rows = rows, series = "step", x = "size", positive = { "ratio", "q1", "q3" }, refs = refs,
    vars = ladder_words(report, ladder, peer),
  }
end

local function tabulate_ladder(report, ladder, sizes)
  local columns = { { header = "step", align = "left" }, { header = "idea", align = "left" } }
  for _, size in ipairs(sizes) do
    columns[#columns + 1] = { header = ("%d"):format(size), align = "right", format = "%.3f" }
  end
  local rows = {}
  for _, rung in ipairs(RUNGS) do
    local row = { (rung:gsub("_", " ")), IDEAS[rung] }
    for _, size in ipairs(sizes) do
      local s = ladder[rung][size]
      row[#row + 1] = s and { value = s.ratio, ref = report:ref(s.record) } or "not run"
    end
    rows[#rows + 1] = row
  end
  report:table {
    name = "matmul_ladder",
    caption = "Each step's speed as a ratio to the peer's, by matrix size (median over pairs of samples)",
    columns = columns, rows = rows,
  }
end

local function report_spread(report, name, s, size)
  common.spread(report, "ratio_" .. name, s, { report:ref(s.record) }, "%.3f")
  report:value("size_" .. name, size, { refs = { report:ref(s.record) }, format = "%d" })
end

-- The last rungs at the largest size. A ratio on two threads without a second core says nothing and is left out.
local function report_last(report, ladder, size)
  local default, tuned, both = ladder.register_tile[size], ladder.tuned[size], ladder.threads[size]
  if default then report_spread(report, "default", default, size) end
  if tuned then report_spread(report, "tuned", tuned, size) end
  if not (default and both) then return end
  local refs = { report:ref(default.record), report:ref(both.record) }
  local theirs = both.record.peer_gflops / default.record.peer_gflops
  report:value("speedup_threads", both.gflops / default.gflops, { refs = refs, format = "%.2f" })
  report:value("speedup_threads_peer", theirs, { refs = refs, format = "%.2f" })
  if threads.second_core(default.record, both.record) then report_spread(report, "threads", both, size) end
end

local function report_ratios(report, ladder, sizes)
  for _, rung in ipairs(RUNGS) do
    for _, size in ipairs(sizes) do
      local s = ladder[rung][size]
      if s then
        local refs = { report:ref(s.record) }
        report:value(("ratio_%s_%d"):format(rung, size), s.ratio, { refs = refs, format = "%.3f" })
        report:value(("gflops_%s_%d"):format(rung, size), s.gflops, { refs = refs, format = "%.1f", unit = "GFLOP/s" })
      end
    end
  end
  report_last(report, ladder, sizes[#sizes])
end

return function(report)
  local ladder, sizes, peer = read_ladder(report)
  common.gate(report)
  common.search(report)
  if #sizes == 0 then return end -- no peer, or killed before the ladder: nothing to compare
  draw_ladder(report, ladder, sizes, peer)
  tabulate_ladder(report, ladder, sizes)
  common.predictions(report)
  climb.count(report, climb.steps(ladder, ON_ONE, sizes))
  report_ratios(report, ladder, sizes)
end

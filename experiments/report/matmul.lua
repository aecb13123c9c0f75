-- What the MatMul trace says: the ladder's figure and table, the search, the predictions, and named values.
local stats = require "lib.stats"

local RUNGS = { "naive", "loop_order", "blocked", "packed", "register_tile", "tuned", "threads" }
local IDEAS = {
  naive = "a dot product for each element",
  loop_order = "the inner loop runs along rows",
  blocked = "blocks that stay in a cache",
  packed = "panels copied into reading order",
  register_tile = "a tile of C in vector registers",
  tuned = "the register tile with searched parameters",
  threads = "two threads, beside the peer on two",
}

-- The speed of one trial beside the peer: median and quartiles over its pairs of samples.
local function speed(record)
  local pairs_of_samples = stats.quotients(record.peer_time_ms, record.time_ms)
  return {
    ratio = stats.median(pairs_of_samples),
    q1 = stats.quantile(pairs_of_samples, 0.25),
    q3 = stats.quantile(pairs_of_samples, 0.75),
    gflops = record.gflops,
    record = record,
  }
end

-- ladder[rung][size] = speed, for the trials that went well and had a peer; the sizes in order; the peer's name.
local function read_ladder(report)
  local ladder, seen, sizes, peer = {}, {}, {}, nil
  for _, rung in ipairs(RUNGS) do ladder[rung] = {} end
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.status == "ok" and record.ratio then
      local rung = record.label == "tuned" and "tuned" or record.config.variant
      local size = record.problem.m
      ladder[rung][size] = speed(record)
      peer = peer or record.peer
      if not seen[size] then seen[size] = true; sizes[#sizes + 1] = size end
    end
  end
  table.sort(sizes)
  return ladder, sizes, peer
end

-- How a number of threads is written in a sentence.
local function in_words(number)
  return ({ "one", "two", "three", "four", "five", "six", "seven", "eight" })[number] or ("%d"):format(number)
end

-- The figure's words, all from the trace: on what machine, how it was measured, and on how many threads the last step.
local function ladder_words(report, ladder, peer)
  local hw, fewest, most, threads = report.hw, math.huge, 0, 1
  for rung, of_rung in pairs(ladder) do
    for _, s in pairs(of_rung) do
      fewest, most = math.min(fewest, s.record.options.samples), math.max(most, s.record.options.samples)
      if rung == "threads" then threads = s.record.problem.threads end
    end
  end
  local samples = fewest == most and ("%d"):format(most) or ("%d to %d"):format(fewest, most)
  local machine = { hw.model or hw.id }
  if hw.microarchitecture then machine[#machine + 1] = hw.microarchitecture end
  if hw.isa then machine[#machine + 1] = hw.isa end
  return {
    peer = peer:match("^%a+") or "peer",
    machine = table.concat(machine, ", "),
    measured = ("profile %s, %s samples a point (median, quartiles)"):format(report.profile, samples),
    threads_title = ("threads (%s threads, peer on %s)"):format(in_words(threads), in_words(threads)),
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
    columns = {
      { name = "step", type = "text" }, { name = "size", type = "number" }, { name = "ratio", type = "number" },
      { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
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

local function tabulate_predictions(report)
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
    name = "matmul_predictions",
    caption = "Predictions, written down before the trials, and what became of them",
    columns = {
      { header = "prediction", align = "left" }, { header = "at least", align = "right", format = "%.2f" },
      { header = "at most", align = "right", format = "%.2f" }, { header = "measured", align = "right", format = "%.2f" },
      { header = "outcome", align = "left" },
    },
    rows = rows,
  }
end

local function tabulate_gate(report)
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
    name = "matmul_gate",
    caption = "The gate: invariants run on the CPU before any trial",
    columns = {
      { header = "invariant", align = "left" }, { header = "statement", align = "left" },
      { header = "cases", align = "right", format = "%d" }, { header = "outcome", align = "left" },
    },
    rows = rows,
  }
end

-- The search's best configuration, axis by axis, and how many trials it took.
local function report_search(report)
  for _, record in ipairs(report.records) do
    if record.kind == "converge" then
      local ref, rows = report:ref(record), {}
      for axis, value in pairs(record.best) do
        rows[#rows + 1] = { axis, type(value) == "number" and { value = value, ref = ref } or value }
      end
      report:table {
        name = "matmul_best",
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

local NOISE = 0.02 -- relative; no difference below it is taken for one

-- How the ladder on one thread climbs: each step beside the step below it, at the largest size that both were run at.
-- A step rises (falls) when its quartiles lie clear above (below) those of the step below, by more than the noise.
local function report_climb(report, ladder, sizes)
  local count, refs, seen = { rising = 0, falling = 0, level = 0 }, {}, {}
  for i = 2, #RUNGS do
    for at = #sizes, 1, -1 do
      local below, above = ladder[RUNGS[i - 1]][sizes[at]], ladder[RUNGS[i]][sizes[at]]
      if below and above and RUNGS[i] ~= "threads" then
        local rises, falls = above.q1 > below.q3 * (1 + NOISE), above.q3 < below.q1 * (1 - NOISE)
        local outcome = rises and "rising" or falls and "falling" or "level"
        count[outcome] = count[outcome] + 1
        for _, s in ipairs { below, above } do -- a step between two others is compared twice, and cited once
          local ref = report:ref(s.record)
          if not seen[ref] then seen[ref] = true; refs[#refs + 1] = ref end
        end
        break
      end
    end
  end
  report:value("steps", count.rising + count.falling + count.level, { refs = refs, format = "%d" })
  for outcome, number in pairs(count) do report:value("steps_" .. outcome, number, { refs = refs, format = "%d" }) end
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
  local largest = sizes[#sizes]
  for name, rung in pairs { tuned = "tuned", threads = "threads" } do
    local s = ladder[rung][largest]
    if s then
      local refs = { report:ref(s.record) }
      report:value("ratio_" .. name, s.ratio, { refs = refs, format = "%.3f" })
      report:value("ratio_" .. name .. "_q1", s.q1, { refs = refs, format = "%.3f" })
      report:value("ratio_" .. name .. "_q3", s.q3, { refs = refs, format = "%.3f" })
      report:value("size_" .. name, largest, { refs = refs, format = "%d" })
    end
  end
end

return function(report)
  local ladder, sizes, peer = read_ladder(report)
  tabulate_gate(report)
  report_search(report)
  if #sizes == 0 then return end -- no peer, or killed before the ladder: nothing to compare
  draw_ladder(report, ladder, sizes, peer)
  tabulate_ladder(report, ladder, sizes)
  tabulate_predictions(report)
  report_climb(report, ladder, sizes)
  report_ratios(report, ladder, sizes)
end

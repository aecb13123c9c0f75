-- The points of the comparison beside what PyTorch picks: forward, backward, and backward in a fixed order.
local common = require "lib.report"
local stats = require "lib.stats"
local words = require "report.fmha_gpu.words"

local PASSES = { "forward", "backward", "deterministic" }

-- The deterministic trial has no peer of its own: it follows the fast one at the same point, whose peer is taken.
local function beside(record, fast)
  local s = words.speed(record)
  if s.ratio or not (fast and fast.record.peer_time_ms) then return s end
  local peer = stats.median(fast.record.peer_time_ms)
  s.ratio = peer / stats.median(record.time_ms)
  s.q1, s.q3 = peer / stats.quantile(record.time_ms, 0.75), peer / stats.quantile(record.time_ms, 0.25)
  s.beside = fast.record
  return s
end

-- points[key] = { problem, forward, backward, deterministic, flash_forward, flash_backward }; and the keys in their order.
local function read(report)
  local points, keys = {}, {}
  local function at(record)
    local key = words.key(record.problem)
    if not points[key] then points[key] = { problem = record.problem }; keys[#keys + 1] = key end
    return points[key]
  end
  for _, pass in ipairs(PASSES) do
    for _, record in ipairs(common.trials(report, pass)) do at(record)[pass] = beside(record, at(record).backward) end
  end
  for _, record in ipairs(common.trials(report, "flash")) do
    at(record)["flash_" .. record.problem.pass] = words.speed(record)
  end
  return points, keys
end

local function refs_of(report, s)
  local refs = { report:ref(s.record) }
  if s.beside then refs[2] = report:ref(s.beside) end
  return refs
end

local function tabulate(report, points, keys)
  local columns = {
    { header = "head_dim, mask", align = "left" }, { header = "length", align = "right", format = "%d" },
    { header = "tile and stages", align = "left" },
  }
  for _, header in ipairs { "forward", "peer", "ratio", "backward", "peer", "ratio", "in order", "ratio" } do
    columns[#columns + 1] = { header = header, align = "right", format = header == "ratio" and "%.3f" or "%.0f" }
  end
  local rows = {}
  for _, key in ipairs(keys) do
    local at, p = points[key], points[key].problem
    local row = {
      ("%d, %s"):format(p.head_dim, words.mask(p)), ("%d"):format(p.q_len),
      at.forward and words.config(at.forward.record.config) or "",
    }
    for _, pass in ipairs(PASSES) do
      local s = at[pass]
      local ref = s and report:ref(s.record)
      row[#row + 1] = s and { value = s.tflops, ref = ref } or "not run"
      if pass ~= "deterministic" then
        row[#row + 1] = s and s.record.peer_tflops and { value = s.record.peer_tflops, ref = ref } or "no peer"
      end
      row[#row + 1] = s and s.ratio and { value = s.ratio, refs = refs_of(report, s), ref = ref } or ""
    end
    rows[#rows + 1] = row
  end
  report:table {
    name = "fmha_gpu_points",
    caption = "Every point beside what PyTorch picks, in TFLOP/s by the usual count (a causal mask halves it, backward is 2.5 times forward)",
    columns = columns, rows = rows,
  }
end

local function name_of(p) return ("%d, %s, %d"):format(p.head_dim, words.mask(p), p.q_len) end

-- How many points of a pass the peer is ahead at, and which, by name.
local function report_below(report, pass, points, keys)
  local refs, names = {}, {}
  for _, key in ipairs(keys) do
    local s = points[key][pass]
    if s and s.ratio then
      for _, ref in ipairs(refs_of(report, s)) do refs[#refs + 1] = ref end
      if s.ratio < 1 then names[#names + 1] = name_of(points[key].problem) end
    end
  end
  if #refs == 0 then return end
  report:value(pass .. "_below", #names, { refs = refs, format = "%d" })
  report:value("which_" .. pass .. "_below", #names,
    { refs = refs, text = #names > 0 and table.concat(names, "; ") or "none" })
end

-- A peer whose output is wrong is not timed: at how many points of a pass, and how far its elements lie from the oracle
-- at most, in units of our bound.
local function report_refused(report, pass, points, keys)
  local refs, refused, worst = {}, 0, 0
  for _, key in ipairs(keys) do
    local record = points[key][pass] and points[key][pass].record
    if record and record.peer_error_over_bound then
      refs[#refs + 1] = report:ref(record)
      worst = math.max(worst, record.peer_error_over_bound)
      if not record.peer_time_ms then refused = refused + 1 end
    end
  end
  if #refs == 0 then return end
  report:value("peer_refused_" .. pass, refused, { refs = refs, format = "%d" })
  report:value("peer_excess_" .. pass, worst, { refs = refs, format = "%.1f" })
end

local MATRIX_FLOP_PER_CYCLE <const> = 4096 -- of a multiprocessor of Hopper, in 16 bits

-- What the meter and the clock said during the samples, and the share of the matrix units' operations at that clock.
local function report_clock(report, key, s)
  local during, refs, cc = s.record.during or {}, { report:ref(s.record) }, report.hw.cc
  if during.power_w then report:value("power_" .. key, during.power_w, { refs = refs, format = "%.0f", unit = "W" }) end
  if not during.sm_mhz then return end
  report:value("clock_" .. key, during.sm_mhz, { refs = refs, format = "%.0f", unit = "MHz" })
  if cc == 90 and report.hw.sms then
    local most = 1e-6 * MATRIX_FLOP_PER_CYCLE * report.hw.sms * during.sm_mhz
    report:value("busy_" .. key, s.tflops / most, { refs = refs, format = "%.2f" })
  end
end

-- The power limit lowers the clock in the course of a trial, of the peer's samples and of ours, and not both are slowed
-- alike. So the same ratio of the first fifth of the pairs, too.
local function early(record)
  local ratios = {}
  for i = 1, #record.time_ms // 5 do ratios[i] = record.peer_time_ms[i] / record.time_ms[i] end
  return #ratios > 0 and stats.median(ratios)
end

local function report_early(report, points, keys)
  for _, pass in ipairs { "forward", "backward" } do
    local all, causal = {}, {}
    for _, key in ipairs(keys) do
      local s = points[key][pass]
      local ratio = s and s.record.peer_time_ms and early(s.record)
      if ratio then
        local one = { ratio = ratio, refs = { report:ref(s.record) } }
        all[#all + 1] = one
        if points[key].problem.causal then causal[#causal + 1] = one end
        report:value(("%s_early_%s"):format(pass, key), ratio, { refs = one.refs, format = "%.3f" })
      end
    end
    words.summarise(report, pass .. "_early", all)
    words.summarise(report, pass .. "_early_causal", causal)
  end
end

local function report_values(report, points, keys)
  for _, pass in ipairs(PASSES) do
    local all, causal = {}, {}
    for _, key in ipairs(keys) do
      local s = points[key][pass]
      if s and s.ratio then
        local one = { ratio = s.ratio, refs = refs_of(report, s) }
        all[#all + 1] = one
        if points[key].problem.causal then causal[#causal + 1] = one end
        common.spread(report, ("%s_%s"):format(pass, key), s, one.refs, "%.3f")
        if pass == "forward" then report_clock(report, key, s) end
        report:value(("%s_tflops_%s"):format(pass, key), s.tflops, { refs = one.refs, format = "%.0f", unit = "TFLOP/s" })
      end
    end
    report_below(report, pass, points, keys)
    words.summarise(report, pass, all)
    words.summarise(report, pass .. "_causal", causal)
  end
end

-- What the fixed order of additions costs: the fast pass over the deterministic one, point by point.
local function report_order(report, points, keys)
  local list = {}
  for _, key in ipairs(keys) do
    local fast, fixed = points[key].backward, points[key].deterministic
    if fast and fixed then
      list[#list + 1] = { ratio = fixed.tflops / fast.tflops, refs = { report:ref(fast.record), report:ref(fixed.record) } }
    end
  end
  words.summarise(report, "order", list)
end

local function report_flash(report, points, keys)
  for _, pass in ipairs { "forward", "backward" } do
    local list, over = {}, {}
    for _, key in ipairs(keys) do
      local flash, default = points[key]["flash_" .. pass], points[key][pass]
      if flash and flash.ratio then list[#list + 1] = { ratio = flash.ratio, refs = { report:ref(flash.record) } } end
      if flash and flash.ratio and default and default.record.peer_tflops then
        over[#over + 1] = {
          ratio = flash.record.peer_tflops / default.record.peer_tflops,
          refs = { report:ref(flash.record), report:ref(default.record) },
        }
      end
    end
    words.summarise(report, "flash_" .. pass, list)
    words.summarise(report, "flash_of_default_" .. pass, over)
  end
end

-- Errors of ours and of the peer's on the same inputs: norm of the error over norm of the tensor, the largest quotient.
local function report_errors(report, points, keys)
  for _, pass in ipairs { "forward", "backward" } do
    local worst, ref
    for _, key in ipairs(keys) do
      local record = points[key][pass] and points[key][pass].record
      for name, theirs in pairs(record and record.peer_errors or {}) do
        local quotient = (record.errors or {})[name] and theirs > 0 and record.errors[name] / theirs
        if quotient and (not worst or quotient > worst) then worst, ref = quotient, report:ref(record) end
      end
    end
    if worst then report:value("error_over_peer_" .. pass, worst, { refs = { ref }, format = "%.2f" }) end
  end
end

-- Panel by panel (head_dim and mask) the three passes over the length.
local function draw(report, points, keys)
  local rows, refs, records = {}, {}, {}
  for _, pass in ipairs(PASSES) do
    for _, key in ipairs(keys) do
      local s, p = points[key][pass], points[key].problem
      if s and s.ratio then
        rows[#rows + 1] = { ("%s_%d_%s"):format(pass, p.head_dim, p.causal and "causal" or "full"), p.q_len, s.ratio, s.q1, s.q3 }
        refs[#refs + 1], records[#records + 1] = report:ref(s.record), s.record
      end
    end
  end
  if #rows == 0 then return end
  report:figure {
    name = "fmha_gpu_points",
    columns = common.columns("series", "length", "ratio", "q1", "q3"),
    rows = rows, series = "series", x = "length", positive = { "ratio", "q1", "q3" }, refs = refs,
    vars = words.figure(report, records),
  }
end

return function(report)
  local points, keys = read(report)
  if #keys == 0 then return points end
  tabulate(report, points, keys)
  report_values(report, points, keys)
  report_early(report, points, keys)
  report_order(report, points, keys)
  report_flash(report, points, keys)
  report_errors(report, points, keys)
  for _, pass in ipairs { "forward", "backward" } do report_refused(report, pass, points, keys) end
  draw(report, points, keys)
  return points
end

-- MatMul on the GPU beside cuBLAS, shape by shape: the ten of the comparison, those of training, fused epilogues.
local common = require "lib.report"
local words = require "report.matmul_gpu.words"

local COLUMNS = {
  { header = "m × n × k", align = "left" }, { header = "configuration", align = "left" },
  { header = "registers", align = "right", format = "%d" }, { header = "TFLOP/s", align = "right", format = "%.0f" },
  { header = "peer", align = "right", format = "%.0f" }, { header = "ratio", align = "right", format = "%.3f" },
  { header = "q1", align = "right", format = "%.3f" }, { header = "q3", align = "right", format = "%.3f" },
  { header = "of the roofline", align = "right", format = "%.2f" },
}

-- What a trial's problem asks besides the product, in words.
local function asked(p)
  local list = {}
  for _, part in ipairs(p.epilogue or {}) do list[#list + 1] = part == "gelu" and "GELU" or part end
  if p.alpha then list[#list + 1] = "α" end
  if p.beta then list[#list + 1] = "β" end
  if p.out == "f32" then list[#list + 1] = "32-bit output" end
  if p.dtype == "f16" then list[#list + 1] = "f16" end
  return table.concat(list, ", ")
end

local function tabulate(report, trials, name, caption, first, cell_of)
  local rows, columns = {}, { table.unpack(COLUMNS) }
  columns[1] = { header = first, align = "left" }
  for _, record in ipairs(trials) do
    local s, ref = words.speed(record), report:ref(record)
    local function cell(value, otherwise) return value and { value = value, ref = ref } or otherwise or "" end
    rows[#rows + 1] = {
      cell_of(record.problem), words.config(record.config), cell((record.kernel or {}).registers),
      cell(record.tflops), cell(record.peer_tflops, "no peer"), cell(s.ratio), cell(s.q1), cell(s.q3),
      cell((record.roofline or {}).fraction),
    }
  end
  for _, record in ipairs(trials) do -- a peer that was refused: why
    if record.peer_reason then
      caption = ("%s. No peer for %s: %s"):format(caption, cell_of(record.problem), record.peer_reason)
    end
  end
  if #rows > 0 then report:table { name = "matmul_gpu_" .. name, caption = caption, columns = columns, rows = rows } end
end

-- The geometric mean and the extremes of the ratios, as values NAME_geomean, NAME_least, NAME_most, NAME_count; of how
-- many the median is below one, and which, as NAME_below and which_NAME_below.
local function summarise(report, trials, name)
  local refs, names, log_sum, least, most = {}, {}, 0, math.huge, 0
  for _, record in ipairs(trials) do
    local ratio = words.speed(record).ratio
    if ratio then
      refs[#refs + 1] = report:ref(record)
      log_sum, least, most = log_sum + math.log(ratio), math.min(least, ratio), math.max(most, ratio)
      if ratio < 1 then names[#names + 1] = words.shape(record.problem) end
    end
  end
  if #refs == 0 then return end
  report:value(name .. "_geomean", math.exp(log_sum / #refs), { refs = refs, format = "%.3f" })
  report:value(name .. "_least", least, { refs = refs, format = "%.3f" })
  report:value(name .. "_most", most, { refs = refs, format = "%.3f" })
  report:value(name .. "_count", #refs, { refs = refs, format = "%d" })
  report:value(name .. "_below", #names, { refs = refs, format = "%d" })
  report:value("which_" .. name .. "_below", #names, { refs = refs, text = words.list(names) })
end

-- The trials whose product has at least as many operations as that of size 2048.
local function large(trials)
  local list = {}
  for _, record in ipairs(trials) do
    local p = record.problem
    if p.m * p.n * p.k >= 2048 ^ 3 then list[#list + 1] = record end
  end
  return list
end

-- What an epilogue costs beside the plain product of the same shape, in microseconds, and what passes over matrices of
-- the output's size take at the datasheet's bandwidth: pass_2_us reads and writes one, pass_3_us reads another as well.
local function report_costs(report, shapes, epilogues)
  local plain, first = {}, nil
  for _, record in ipairs(shapes) do plain[words.shape(record.problem)] = record end
  local function us(record) return 2e-6 * record.problem.m * record.problem.n * record.problem.k / record.tflops end
  for _, record in ipairs(epilogues) do
    local p = record.problem
    local below, parts = plain[words.shape(p)], table.concat(p.epilogue or {}, "_")
    if below and parts ~= "" then
      first = first or record
      report:value("cost_us_" .. parts, us(record) - us(below),
        { refs = { report:ref(record), report:ref(below) }, format = "%.0f", unit = "µs" })
    end
  end
  for matrices = 2, first and report.hw.datasheet_bandwidth_gb_s and 3 or 0 do
    local bytes = matrices * 2 * first.problem.m * first.problem.n
    report:value(("pass_%d_us"):format(matrices), 1e-3 * bytes / report.hw.datasheet_bandwidth_gb_s,
      { refs = { report:ref(first) }, format = "%.0f", unit = "µs" })
  end
end

-- How far outside of the bound a peer's product lay that was refused for it.
local function report_refused_peer(report, trials)
  for _, record in ipairs(trials) do
    local excess = tonumber((record.peer_reason or ""):match("off by ([%d.]+) times the bound"))
    if excess then
      report:value("peer_excess", excess, { refs = { report:ref(record) }, format = "%.2f" })
      return
    end
  end
end

-- What the squares of the comparison reach, and the state that the GPU was in right after their samples.
local function report_squares(report, trials)
  for _, record in ipairs(trials) do
    local p, refs = record.problem, { report:ref(record) }
    if p.m == p.n and p.n == p.k then
      local s, after = words.speed(record), record.after or {}
      report:value(("size_square_%d"):format(p.m), p.m, { refs = refs, format = "%d" })
      if s.ratio then common.spread(report, ("ratio_square_%d"):format(p.m), s, refs, "%.3f") end
      if record.roofline then
        report:value(("roofline_%d"):format(p.m), record.roofline.fraction, { refs = refs, format = "%.2f" })
      end
      if after.power_w then
        report:value(("power_%d"):format(p.m), after.power_w, { refs = refs, format = "%.0f", unit = "W" })
      end
      if after.sm_mhz then
        report:value(("clock_%d"):format(p.m), after.sm_mhz, { refs = refs, format = "%.0f", unit = "MHz" })
      end
    end
  end
end

-- The ten shapes with both kinds of launches, from the slowest of ours beside the peer's to the fastest.
local function draw(report, overlapped, plain)
  local order, place = {}, {}
  for _, record in ipairs(overlapped) do
    local s = words.speed(record)
    if s.ratio then order[#order + 1] = s end
  end
  table.sort(order, function(a, b) return a.ratio < b.ratio end)
  for at, s in ipairs(order) do place[words.shape(s.record.problem)] = at end
  local rows, refs, records = {}, {}, {}
  local function add(series, s)
    local at = place[words.shape(s.record.problem)]
    rows[#rows + 1] = { series, at, words.spaced(s.record.problem), s.ratio, s.q1, s.q3 }
    refs[#refs + 1], records[#records + 1] = report:ref(s.record), s.record
  end
  for _, s in ipairs(order) do add("overlapped", s) end
  local others = {}
  for _, record in ipairs(plain) do
    local s = words.speed(record)
    if s.ratio and place[words.shape(record.problem)] then others[#others + 1] = s end
  end
  local function at(s) return place[words.shape(s.record.problem)] end
  table.sort(others, function(a, b) return at(a) < at(b) end)
  for _, s in ipairs(others) do add("plain", s) end
  if #rows == 0 then return end
  report:figure {
    name = "matmul_gpu_shapes",
    columns = {
      { name = "series", type = "text" }, { name = "place", type = "number" }, { name = "shape", type = "text" },
      { name = "ratio", type = "number" }, { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
    rows = rows, series = "series", x = "place", positive = { "ratio", "q1", "q3" }, refs = refs,
    vars = words.figure(report, records),
  }
end

return function(report)
  local shapes, plain = common.trials(report, "shape"), common.trials(report, "shape_plain")
  local training, epilogues = common.trials(report, "training"), common.trials(report, "epilogue")
  local function shape_and_order(p) return words.shape(p) .. " " .. words.order(p) end
  tabulate(report, shapes, "shapes", "The ten shapes beside cuBLAS in one run (A by rows, B stored by columns)",
    "m × n × k", words.shape)
  tabulate(report, plain, "shapes_plain", "The same with launches that do not overlap", "m × n × k", words.shape)
  tabulate(report, training, "training", "Products of training and of LoopLM's layers (N: by rows, T: by columns)",
    "m × n × k", shape_and_order)
  tabulate(report, epilogues, "epilogues", "Fused epilogues; cuBLAS does the plain product beside them", "asked for",
    asked)
  summarise(report, shapes, "shapes")
  summarise(report, plain, "shapes_plain")
  summarise(report, large(shapes), "shapes_large")
  summarise(report, large(plain), "shapes_plain_large")
  summarise(report, training, "training")
  summarise(report, epilogues, "epilogues")
  report_costs(report, shapes, epilogues)
  report_refused_peer(report, epilogues)
  report_squares(report, shapes)
  draw(report, shapes, plain)
end

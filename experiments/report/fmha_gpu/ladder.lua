-- The ladder of FMHA on the GPU, and what fusing is worth.
local common = require "lib.report"
local words = require "report.fmha_gpu.words"

local RUNGS = {
  "unfused", "mma_sync", "tma", "specialised", "ping_pong", "ahead", "registers", "persistent", "packed", "kept",
}
local IDEAS = {
  unfused = "scores and weights through global memory",
  mma_sync = "one kernel; copies run ahead",
  tma = "the copy engine and warpgroup products",
  specialised = "one warpgroup fetches",
  ping_pong = "two or three take turns",
  ahead = "the next scores under this softmax",
  registers = "weights stay in registers",
  persistent = "blocks stay; longest rows first",
  packed = "grouped heads share a tile",
  kept = "a row's maximum stays",
}

-- Two steps are one kernel: the last one's maximum stays.
local function rung_of(config)
  return config.variant == "packed" and config.maximum == "kept" and "kept" or config.variant
end

-- --- the ladder ---

-- ladder[rung][column] = speed; columns in order, { key, problem }.
local function read(report)
  local ladder, columns, seen = {}, {}, {}
  for _, rung in ipairs(RUNGS) do ladder[rung] = {} end
  for _, record in ipairs(common.trials(report, "ladder")) do
    local key = words.key(record.problem)
    ladder[rung_of(record.config)][key] = words.speed(record)
    if not seen[key] then seen[key] = true; columns[#columns + 1] = { key = key, problem = record.problem } end
  end
  return ladder, columns
end

-- What the kept maximum brings, by the ladder's pairs alone.
local function report_kept(report, ladder, columns)
  local list = {}
  for _, column in ipairs(columns) do
    local kept, followed = ladder.kept[column.key], ladder.packed[column.key]
    if kept and followed then
      list[#list + 1] = {
        ratio = kept.tflops / followed.tflops, refs = { report:ref(kept.record), report:ref(followed.record) },
      }
    end
  end
  words.summarise(report, "kept_ladder", list)
end

local function tabulate(report, ladder, columns)
  local heads = { { header = "step", align = "left" }, { header = "idea", align = "left" } }
  for _, column in ipairs(columns) do
    local p = column.problem
    heads[#heads + 1] = {
      header = ("%d, %s"):format(p.q_len, p.causal and "causal" or "no mask"), align = "right", format = "%.0f",
    }
  end
  local rows = {}
  for _, rung in ipairs(RUNGS) do
    local row = { (rung:gsub("_", " ")), IDEAS[rung] }
    for _, column in ipairs(columns) do
      local s = ladder[rung][column.key]
      row[#row + 1] = s and { value = s.tflops, ref = report:ref(s.record) } or "not run"
      if s then
        report:value(("tflops_%s_%s"):format(rung, column.key), s.tflops,
          { refs = { report:ref(s.record) }, format = "%.0f", unit = "TFLOP/s" })
      end
    end
    rows[#rows + 1] = row
  end
  report:table {
    name = "fmha_gpu_ladder",
    caption = ("Each step's speed in TFLOP/s at head_dim %d, by length and mask (median over samples)"):format(
      columns[1].problem.head_dim),
    columns = heads, rows = rows,
  }
end

-- From the lowest step up; above them what PyTorch picks there, as it was measured beside the forward pass.
local function draw(report, ladder, columns, points)
  local rows, refs, records = {}, {}, {}
  for _, column in ipairs(columns) do
    for place, rung in ipairs(RUNGS) do
      local s = ladder[rung][column.key]
      if s then
        rows[#rows + 1] = { column.key, place, (rung:gsub("_", " ")), s.tflops, s.slow, s.fast }
        refs[#refs + 1], records[#records + 1] = report:ref(s.record), s.record
      end
    end
    local peer = (points[column.key] or {}).forward
    if peer and peer.record.peer_tflops then
      local tflops = peer.record.peer_tflops
      rows[#rows + 1] = { column.key, #RUNGS + 1, "PyTorch's choice", tflops, tflops, tflops }
      refs[#refs + 1] = report:ref(peer.record)
    end
  end
  local vars = words.figure(report, records)
  vars.shape = ("bf16, %d heads of %d, %d tokens in all"):format(
    columns[1].problem.heads, columns[1].problem.head_dim, columns[1].problem.batch * columns[1].problem.q_len)
  report:figure {
    name = "fmha_gpu_ladder",
    columns = {
      { name = "series", type = "text" }, { name = "place", type = "number" }, { name = "step", type = "text" },
      { name = "tflops", type = "number" }, { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
    rows = rows, series = "series", x = "place", positive = { "tflops", "q1", "q3" }, refs = refs, vars = vars,
  }
end

-- Steps at one problem, as values NAME_tflops_RUNG: heads that share a tile where a head's queries do not fill one, and
-- both backward passes.
local function report_beside(report, label, name)
  for _, record in ipairs(common.trials(report, label)) do
    local s = words.speed(record)
    report:value(("%s_tflops_%s"):format(name, record.config.variant), s.tflops,
      { refs = { report:ref(record) }, format = "%.0f", unit = "TFLOP/s" })
  end
end

-- --- fusing ---

-- Bytes that go through global memory when each is counted once a way: a score of four bytes and a weight of two, both
-- written and read; rows of scores begin at multiples of eight.
local function bytes_of(record)
  local p, bytes = record.problem, record.bytes
  if record.config.variant ~= "unfused" then return bytes end
  local row = (p.kv_len + 7) // 8 * 8
  return bytes + p.batch * p.heads * p.q_len * row * 2 * (4 + 2)
end

local function report_fusion(report)
  local by_length, lengths = {}, {}
  for _, record in ipairs(common.trials(report, "fusion")) do
    local length = record.problem.q_len
    if not by_length[length] then by_length[length] = {}; lengths[#lengths + 1] = length end
    by_length[length][record.config.variant] = words.speed(record)
  end
  table.sort(lengths)
  local rows, cells, refs, records, all = {}, {}, {}, {}, {}
  for _, variant in ipairs { "mma_sync", "packed" } do
    for _, length in ipairs(lengths) do
      local three, one = by_length[length].unfused, by_length[length][variant]
      if three and one then
        local both = { report:ref(three.record), report:ref(one.record) }
        local time = one.tflops / three.tflops
        rows[#rows + 1] = { variant, length, time, one.slow / three.fast, one.fast / three.slow }
        refs[#refs + 1], refs[#refs + 2] = both[1], both[2]
        records[#records + 1] = one.record
        all[variant] = all[variant] or {}
        table.insert(all[variant], { ratio = time, refs = both })
        report:value(("fusion_%s_%d"):format(variant, length), time, { refs = both, format = "%.1f" })
      end
    end
    if all[variant] then words.summarise(report, "fusion_" .. variant, all[variant]) end
  end
  for _, length in ipairs(lengths) do
    local three, one, top = by_length[length].unfused, by_length[length].mma_sync, by_length[length].packed
    if three and one then
      local both = { report:ref(three.record), report:ref(one.record) }
      local bytes = bytes_of(three.record) / bytes_of(one.record)
      rows[#rows + 1] = { "bytes", length, bytes, bytes, bytes }
      report:value(("fusion_bytes_%d"):format(length), bytes, { refs = both, format = "%.1f" })
      local function cell(s) return s and { value = s.tflops, ref = report:ref(s.record) } or "not run" end
      cells[#cells + 1] = {
        ("%d"):format(length), cell(three), cell(one), cell(top), { value = one.tflops / three.tflops, ref = both[2], refs = both },
        top and { value = top.tflops / three.tflops, ref = report:ref(top.record) } or "", { value = bytes, ref = both[1], refs = both },
      }
    end
  end
  if #rows == 0 then return end
  local last = by_length[lengths[#lengths]]
  local best = last.packed or last.mma_sync
  if last.unfused and best then
    local both = { report:ref(last.unfused.record), report:ref(best.record) }
    report:value("fusion", best.tflops / last.unfused.tflops, { refs = both, format = "%.1f" })
    report:value("fusion_length", lengths[#lengths], { refs = both, format = "%d" })
    report:value("fusion_bytes", bytes_of(last.unfused.record) / bytes_of(best.record), { refs = both, format = "%.1f" })
  end
  report:table {
    name = "fmha_gpu_fusion",
    caption = "What fusing pays, by length, without a mask: TFLOP/s, times as fast as three kernels through memory, and the bytes that those move over those of one",
    columns = {
      { header = "length", align = "right" }, { header = "three kernels", align = "right", format = "%.0f" },
      { header = "one, portable", align = "right", format = "%.0f" }, { header = "one, the top", align = "right", format = "%.0f" },
      { header = "portable", align = "right", format = "%.1f" }, { header = "the top", align = "right", format = "%.1f" },
      { header = "bytes", align = "right", format = "%.1f" },
    },
    rows = cells,
  }
  local vars, p = words.figure(report, records), records[1].problem
  vars.shape = ("bf16, %d heads of %d, no mask, %d tokens in all"):format(p.heads, p.head_dim, p.batch * p.q_len)
  report:figure {
    name = "fmha_gpu_fusion",
    columns = common.columns("series", "length", "ratio", "q1", "q3"),
    rows = rows, series = "series", x = "length", positive = { "ratio", "q1", "q3" }, refs = refs, vars = vars,
  }
end

return function(report, points)
  local ladder, columns = read(report)
  if #columns > 0 then
    tabulate(report, ladder, columns)
    report_kept(report, ladder, columns)
    draw(report, ladder, columns, points)
  end
  report_beside(report, "ladder_few", "few")
  report_beside(report, "ladder_backward", "backward")
  report_fusion(report)
end

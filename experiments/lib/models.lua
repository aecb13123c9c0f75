-- What every experiment on a model of src/nn is built from beside src/nn itself: its inputs. `with` gives the list with
-- the recipe's own files. tests/house/inputs.t compares the kernels with what the compiler read.
local built_from = {
  "experiments/lib/blocks.lua", "experiments/lib/dsl.lua", "src/base/rng.c", "src/data/data.c", "src/device/stats.c",
  "src/device/threads.c", "kernels/fmha/backward.c", "kernels/fmha/config.c", "kernels/fmha/fmha.h",
  "kernels/fmha/fused.c", "kernels/fmha/micro.h", "kernels/fmha/micro_avx2.c", "kernels/fmha/micro_avx512.c",
  "kernels/fmha/micro_panels.h", "kernels/fmha/micro_portable.c", "kernels/fmha/plan.c", "kernels/fmha/plan.h",
  "kernels/fmha/unfused.c", "kernels/layers/act_rows.h", "kernels/layers/all.h", "kernels/layers/attention.h",
  "kernels/layers/elements.h", "kernels/layers/layers.c", "kernels/layers/layers.h", "kernels/layers/layers_avx2.c",
  "kernels/layers/layers_avx512.c", "kernels/layers/layers_portable.c", "kernels/layers/loss_rows.h",
  "kernels/layers/norm_rows.h", "kernels/layers/pack.h", "kernels/layers/philox.h", "kernels/layers/product.h",
  "kernels/layers/rope_rows.h", "kernels/layers/vec.h", "kernels/layers/vmath.h", "kernels/matmul/config.c",
  "kernels/matmul/goto.c", "kernels/matmul/ladder.c", "kernels/matmul/matmul.h", "kernels/matmul/micro_avx2.c",
  "kernels/matmul/micro_avx512.c", "kernels/matmul/micro_pack.h", "kernels/matmul/micro_portable.c",
  "kernels/matmul/micro_rows.h", "kernels/matmul/micro_tile.h",
}

local models = {}

function models.with(own)
  local all = { "experiments/lib/models.lua", table.unpack(built_from) }
  for _, path in ipairs(own) do all[#all + 1] = path end
  return all
end

return models

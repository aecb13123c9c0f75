# Every tile of FMHA on the GPU that runs: the speed as a share of the fastest at its shape, in six panels of a step of
# the ladder and a shape each. What is empty was refused. Columns: panel (STEP_SHAPE), place (of the number of keys),
# rows (64 queries each), keys (text), share, tflops (text). Variables: shape_1 and shape_2; machine and measured (two
# lines of text: on what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,1060 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,2120 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,9.8in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
tick_font = sized(0.75)
cell_font = sized(0.55)
title_font = sized(0.88)
block(name) = (found = 0, sum [i=1:series] (word(series_names, i) eq name ? (found = i) : 0), found)
steps = 'mma_sync specialised packed'
names = "'portable (mma sync)' 'specialised' 'packed (the top)'"

stats data using (column(col_place)) nooutput name 'x'
stats data using (column(col_share)) nooutput name 'c'
set multiplot
set label 1 'Attention: tiles' at screen 0.5,0.977 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.949 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.924 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 'TFLOP/s; colour: share of the fastest tile at the shape' at screen 0.5,0.899 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 5 shape_1 at screen 0.5,0.866 center noenhanced font sized(0.9) front
set label 6 shape_2 at screen 0.5,0.436 center noenhanced font sized(0.9) front
# Light for slow, dark for fast; the same for all.
set palette defined (0 '#f7f3e8', 0.5 '#8fbcd8', 1 '#0b4f82')
set cbrange [c_min : 1]
unset colorbox
unset grid
set title offset 0,-0.75 font title_font
set xrange [0.5 : x_max + 0.5]
set yrange [0.5 : 3.5]
set ytics ('64' 1, '128' 2, '192' 3) scale 0 font tick_font
set xtics scale 0 font tick_font
set lmargin at screen 0.125
set rmargin at screen 0.975
unset key
dark(share) = share > c_min + 0.6 * (1 - c_min)
do for [shape=1:2] {
    do for [step=1:3] {
        top = 0.845 - 0.43 * (shape - 1) - 0.117 * (step - 1)
        set tmargin at screen top - 0.018
        set bmargin at screen top - 0.092
        set title word(names, step)
        set ylabel 'queries' offset 0.6,0 font tick_font
        unset xlabel
        if (step == 3) { set xlabel 'keys of a tile' offset 0,0.7 font tick_font }
        at = block(sprintf('%s_%d', word(steps, step), shape))
        if (at > 0) {
            # The first plot says what every place is called, from all the panels; only the lowest shows it.
            if (step == 3) { set xtics font tick_font textcolor rgb '#333333' } else { set xtics font ',1' textcolor rgb '#ffffff' }
            plot data using (column(col_place)):(-9):xticlabel(strcol(col_keys)) with dots notitle, \
                 data index (at-1) using (column(col_place)):(column(col_rows)):(0.47):(0.45):(column(col_share)) \
                     with boxxyerror fillstyle solid 1 noborder linecolor palette notitle, \
                 data index (at-1) using (column(col_place)):(column(col_rows)):(strcol(col_tflops)) \
                     :(dark(column(col_share)) ? 0xffffff : 0x222222) with labels font cell_font textcolor rgb variable notitle
        }
        unset label
    }
}
unset multiplot

# What single choices of the GPU's MatMul are worth: one is varied, all else stays equal; six panels, each with medians
# and quartiles of the ratio to the peer. Columns: varied (which choice), place (of the setting in its panel), setting
# (its name), ratio, q1, q3. Variables: peer (its name); machine and measured (two lines of text: on what, and how);
# shape (of the first four panels).

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
label_font = sized(0.82)
tick_font = sized(0.78)
small_font = sized(0.62)
title_font = sized(0.85)
key_font = sized(0.78)

# A series' block in the data; 0: it was not measured.
block(name) = (found = 0, sum [i=1:series] (word(series_names, i) eq name ? (found = i) : 0), found)
# One or two series a panel, and what they are called there.
first  = 'stages swizzle group tile round_whole launch_plain'
second = 'stages_portable - - - round_shared launch_overlapped'
titles  = "'(a) stages in flight' '(b) swizzled bytes' '(c) rows of tiles together' '(d) columns of the tile' '(e) last rounds of tiles' '(f) launches, squares'"
name_1 = 'TMA - - - whole plain'
name_2 = 'portable - - - shared overlapped'

# 'm × n × k' in three lines
narrow(name) = name eq '16384' ? "\n16384" : words(name) == 5 ? word(name, 1) . "\n" . word(name, 3) . "\n" . word(name, 5) : name

set multiplot
set label 1 sprintf('MatMul: single choices, against %s', peer) at screen 0.5,0.977 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.949 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.924 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 sprintf('(a) to (d): %s', shape) at screen 0.5,0.899 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set title offset 0,-0.6 font title_font
set xtics scale 0.4
set ytics font tick_font
set format y '%.2f'
set key inside bottom right vertical Left reverse samplen 1.4 spacing 1.0 width 0 font key_font
set bars 0.7

do for [panel=1:6] {
    one = block(word(first, panel))
    two = block(word(second, panel))
    row = (panel - 1) / 2
    left = (panel - 1) % 2
    set lmargin at screen left ? 0.62 : 0.13
    set rmargin at screen left ? 0.975 : 0.485
    set tmargin at screen 0.85 - 0.283 * row
    set bmargin at screen 0.665 - 0.283 * row
    set title word(titles, panel)
    setting_font = panel == 6 ? small_font : tick_font
    set xtics font setting_font
    unset ylabel
    if (left == 0) { set ylabel sprintf('ratio to %s', peer) offset -0.4,0 font label_font }
    set xrange [*:*] # what is out of range would not count
    set yrange [*:*]
    if (one > 0) {
        stats data index (one-1) using (column(col_place)) nooutput name 'x'
        stats data index (one-1) using (column(col_q1)) nooutput name 'low'
        stats data index (one-1) using (column(col_q3)) nooutput name 'high'
        bottom = low_min
        top = high_max > 1 ? high_max : 1
        if (two > 0) {
            stats data index (two-1) using (column(col_q1)) nooutput name 'low'
            stats data index (two-1) using (column(col_q3)) nooutput name 'high'
            bottom = low_min < bottom ? low_min : bottom
            top = high_max > top ? high_max : top
        }
        pad = 0.08 * (top - bottom) + 0.01
        set xrange [0.6 : x_max + 0.4]
        set yrange [bottom - (two > 0 ? 4 : 1) * pad : top + pad]
        step = top - bottom > 0.6 ? 0.2 : top - bottom > 0.3 ? 0.1 : top - bottom > 0.1 ? 0.05 : 0.02
        set ytics step
        again = two > 0 ? two : one
        plot 1 with lines linestyle 20 notitle, \
             data index (one-1) using (column(col_place)):(column(col_ratio)):(column(col_q1)):(column(col_q3)) \
                 with yerrorbars linestyle 1 notitle, \
             data index (one-1) using (column(col_place)):(column(col_ratio)):xticlabel(narrow(strcol(col_setting))) \
                 with linespoints linestyle 1 title (two > 0 ? word(name_1, panel) : ''), \
             data index (again-1) using (column(col_place)):(column(col_ratio)):(column(col_q1)):(column(col_q3)) \
                 with yerrorbars linestyle (two > 0 ? 2 : 1) notitle, \
             data index (again-1) using (column(col_place)):(column(col_ratio)) \
                 with linespoints linestyle (two > 0 ? 2 : 1) title (two > 0 ? word(name_2, panel) : '')
        unset label
    }
}
unset multiplot

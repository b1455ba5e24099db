// The parts of op_gradcheck_cases, one per file.
#pragma once

#include "fer/autograd/gradcheck_cases.h"

namespace fer::detail {

using Cases = std::vector<GradcheckCase>;
using Inputs = const std::vector<Variable>&;

/// gradcheck_cases_basic.cpp: elementwise, reductions, activations, layout.
void add_basic_cases(Cases& cases);
/// gradcheck_cases_layers.cpp: products, convolutions, pooling, norms, attention, heat maps, dropout.
void add_layer_cases(Cases& cases);
/// gradcheck_cases_losses.cpp
void add_loss_cases(Cases& cases);

}  // namespace fer::detail

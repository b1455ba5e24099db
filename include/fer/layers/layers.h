// All layers in one include.
#pragma once

#include "fer/layers/activation.h"
#include "fer/layers/batch_norm.h"
#include "fer/layers/checkpoint.h"
#include "fer/layers/conv2d.h"
#include "fer/layers/dropout.h"
#include "fer/layers/layer_norm.h"
#include "fer/layers/linear.h"
#include "fer/layers/module.h"
#include "fer/layers/pooling.h"

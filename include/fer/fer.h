// One include for what most programs need: tensors, gradients, layers, data, training and prediction. See
// docs/cpp.md.
#pragma once

#include "fer/autograd/function.h"
#include "fer/autograd/ops.h"
#include "fer/data/loader.h"
#include "fer/formats/state_dict.h"
#include "fer/graph/compiled.h"
#include "fer/inference/classifier.h"
#include "fer/inference/face_reader.h"
#include "fer/layers/layers.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"
#include "fer/models/registry.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/dlpack.h"
#include "fer/tensor/random.h"
#include "fer/tensor/tensor.h"
#include "fer/training/checkpoint.h"
#include "fer/training/loop.h"
#include "fer/training/optimizer.h"
#include "fer/training/schedule.h"

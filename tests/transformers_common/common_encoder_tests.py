"""What of transformers' common tests is said otherwise for models that hear alone."""

from common_testers import CommonModelTest
from torch import nn


class AudioTest(CommonModelTest):
    """
    Subclasses whose attention runs within windows say in `windows` how many tokens each has.

    `seq_length` and `hidden_size` are the last two sizes of the first hidden state.
    """

    has_attentions = False
    is_training = False
    test_resize_embeddings = False  # there is no vocabulary
    windows = None

    def test_attention_outputs(self):
        if self.windows is not None:
            self.model_tester.seq_length = self.windows
        super().test_attention_outputs()

    def test_model_get_set_embeddings(self):
        """The first layer is a convolution, and no `nn.Embedding` as the mixin would have it."""
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            model = model_class(config)
            first = model.get_input_embeddings()
            self.assertIsInstance(first, nn.Conv2d)
            other = nn.Conv2d(first.in_channels, first.out_channels, first.kernel_size)
            model.set_input_embeddings(other)
            self.assertIs(model.get_input_embeddings(), other)
